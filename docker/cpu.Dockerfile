# wordmask on a processor; docs/docker.md says how to use it. From the checkout's folder:
#   docker build -f docker/cpu.Dockerfile -t wordmask .
FROM python:3.13-slim AS build
COPY . /src
RUN python -m venv /opt/wordmask && /opt/wordmask/bin/pip install --no-cache-dir '/src[cpu,hub]'

FROM python:3.13-slim
COPY --from=build /opt/wordmask /opt/wordmask
RUN useradd --create-home --uid 10001 wordmask && install -d -m 1777 /cache /data
ENV PATH=/opt/wordmask/bin:$PATH WORDMASK_CACHE=/cache
USER 10001
WORKDIR /data
ENTRYPOINT ["wordmask"]
CMD ["--help"]
