# wordmask on NVIDIA GPUs: CUDA by ONNX Runtime, and TensorRT's engines; docs/docker.md says how to use it. From the
# checkout's folder:
#   docker build -f docker/gpu.Dockerfile -t wordmask-gpu .
# The release is that of triton.Dockerfile: both have the same TensorRT, so that engines built here can be served there.
FROM nvcr.io/nvidia/tensorrt:25.10-py3
COPY . /src
RUN pip install --no-cache-dir --break-system-packages '/src[gpu,trt,hub]' && rm -rf /src
RUN useradd --create-home --uid 10001 wordmask && install -d -m 1777 /cache /data
ENV WORDMASK_CACHE=/cache
USER 10001
WORKDIR /data
ENTRYPOINT ["wordmask"]
CMD ["--help"]
