"""The proxy's own endpoints, dashboard, mitmproxy commands and content views."""
