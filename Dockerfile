# The service alone: no embedded stack, no model server, nothing that loads a model.
#   docker build -t model-reconciler:0.1.0 .
# Where pip must be told where to look:  --secret id=pip.conf,src=$HOME/.config/pip/pip.conf
# For a ledger in PostgreSQL:            --build-arg EXTRAS=[postgresql]
FROM python:3.12-slim AS build
ARG EXTRAS=""
WORKDIR /src
RUN python -m venv /opt/reconciler
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY example-repo ./example-repo
COPY reconciler ./reconciler
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf \
    /opt/reconciler/bin/pip install --no-cache-dir --disable-pip-version-check -c constraints.txt ".${EXTRAS}"

FROM python:3.12-slim
COPY --from=build /opt/reconciler /opt/reconciler
ENV PATH=/opt/reconciler/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 65532:65532
WORKDIR /var/lib/reconciler
EXPOSE 8765
ENTRYPOINT ["reconciler"]
CMD ["run"]
