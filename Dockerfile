# ccproxy in a container: docker compose up. See docs/ALWAYS_ON.md.
FROM python:3.13-slim

WORKDIR /app
COPY requirements.lock .
RUN pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements.lock
COPY requirements.txt pyproject.toml ccproxy_addon.py ./
COPY addon addon

# State, the secret, and the certificates that mitmproxy makes; everything else may be read-only.
RUN install -d -o 1000 -g 1000 -m 0700 /data
USER 1000:1000
ENV HOME=/data CCPROXY_HOME=/data PORT=8082 PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
VOLUME /data
EXPOSE 8082

# Any response will do: with REQUIRE_SECRET_LOCALLY it is a 401.
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s \
  CMD ["python", "-c", "from http.client import *; c = HTTPConnection('127.0.0.1', 8082); c.request('GET', '/health'); c.getresponse()"]

# On all addresses of the container: whoever is not inside it needs the secret (/data/secret).
CMD ["python", "addon/cli", "run", "--mode", "reverse:https://api.anthropic.com@0.0.0.0:8082"]
