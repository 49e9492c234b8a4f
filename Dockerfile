# docker build -t frcnn .                                                                       for CPUs
# docker build -t frcnn --build-arg TORCH=https://download.pytorch.org/whl/cu128 .              for NVIDIA's GPUs
FROM python:3.12-slim
ARG TORCH=https://download.pytorch.org/whl/cpu
RUN pip install --no-cache-dir torch torchvision --index-url $TORCH
COPY . /src
RUN pip install --no-cache-dir "/src[serve,onnx,safetensors,hub]" && rm -r /src && useradd --create-home frcnn
USER frcnn
WORKDIR /home/frcnn
EXPOSE 8000
ENTRYPOINT ["frcnn"]
CMD ["--help"]
