# NVIDIA Triton with wordmask in its Python; docs/serving.md says what is served, docs/docker.md how to start it. From the
# checkout's folder:
#   docker build -f docker/triton.Dockerfile -t wordmask-triton .
FROM nvcr.io/nvidia/tritonserver:25.10-py3
COPY . /src/wordmask
RUN pip install --no-cache-dir --break-system-packages '/src/wordmask[hub]' && rm -rf /src/wordmask
