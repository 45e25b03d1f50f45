"""The mitmproxy addons, one class a file, in the order of `ccproxy_addon.py`."""
