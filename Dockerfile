# docker build -t rebnn_search .
# mkdir -p results tracking
# docker run --rm --user "$(id -u):$(id -g)" -v "$PWD/results:/searches/results" -v "$PWD/tracking:/searches/tracking" rebnn_search
# On a machine with NVIDIA GPUs and their container toolkit add `--gpus all`, and give each trial one: after the image's name
# `search_spaces/gamma.yaml --set resources.gpus_per_worker=1`. The wheels below carry their own CUDA. For a smaller,
# CPU-only image build with `--build-arg PIP_EXTRA_INDEX_URL=<the CPU wheel index of PyTorch>`.
FROM python:3.11-slim AS build
ARG PIP_EXTRA_INDEX_URL
WORKDIR /src
COPY constraints.txt pyproject.toml README.md ./
COPY rebnn_search/__init__.py rebnn_search/__init__.py
RUN python -m venv /venv \
 && /venv/bin/pip install --no-cache-dir --constraint constraints.txt ".[cluster]"
# The dependencies above are a layer of their own: a change of the code below rebuilds only this.
COPY setup.py ./
COPY search_spaces search_spaces
COPY trials trials
COPY rebnn_search rebnn_search
RUN /venv/bin/pip install --no-cache-dir --no-deps --force-reinstall .

FROM python:3.11-slim
# wget is what KubeRay's probes call.
RUN apt-get update && apt-get install -y --no-install-recommends wget && rm -rf /var/lib/apt/lists/* \
 && useradd --create-home --uid 1000 researcher && install --directory --mode 1777 /searches /searches/results /searches/tracking
COPY --from=build /venv /venv
# Ray's cluster launcher uses login shells, which set PATH anew.
RUN echo 'export PATH=/venv/bin:$PATH' > /etc/profile.d/venv.sh
# Whoever runs it (--user) has a home: there Ray keeps its token, and decoded pictures are cached.
ENV HOME=/tmp PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 RAY_USAGE_STATS_ENABLED=0 MLFLOW_TRACKING_URI=sqlite:////searches/tracking/mlflow.db
USER researcher
WORKDIR /searches
COPY search_spaces search_spaces
COPY trials trials
VOLUME ["/searches/results", "/searches/tracking"]
ENTRYPOINT ["python", "-m", "rebnn_search.run"]
CMD ["search_spaces/gamma.yaml"]
