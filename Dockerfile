# The demo on a CPU, with the embedded checkpoint or the one that MODEL_ID names.
#   docker build -t computer-dump .
#   docker run --read-only --tmpfs /tmp -v computer-dump:/cache -p 7860:7860 computer-dump
ARG PYTHON_IMAGE=docker.io/library/python:3.12-slim
FROM ${PYTHON_IMAGE}

# The lock names torch's build for CPUs, which is a tenth of the size; it is on torch's own index.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1
WORKDIR /app
COPY requirements.lock .
RUN python3 -m venv /venv \
    && /venv/bin/pip install --require-hashes --only-binary :all: \
       --extra-index-url "${TORCH_INDEX}" -r requirements.lock

COPY . .
# 10001: no user of the host by accident. /cache is all that it may write to, beside /tmp.
RUN useradd --uid 10001 --no-create-home --home-dir /cache demo \
    && install -d -o demo -g demo /cache
USER demo
VOLUME /cache
ENV HOME=/cache CACHE_DIR=/cache/demo GRADIO_SERVER_NAME=0.0.0.0 GRADIO_ANALYTICS_ENABLED=False \
    PATH=/venv/bin:$PATH
EXPOSE 7860
# Ready within minutes at the first start, which fetches and merges 98 MB; later within seconds.
HEALTHCHECK --interval=30s --timeout=10s --start-period=10m --retries=3 \
    CMD ["python3", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:7860/readyz', timeout=8)"]
CMD ["python3", "app.py"]
