"""What the proxy costs, measured beside plain mitmdump and beside no proxy at all: `python -m bench`."""
