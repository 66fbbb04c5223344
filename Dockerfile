# The command waveunet, without TensorFlow, in a small image. It was not built where this
# project is developed, where there is no Docker; hadolint and tests read it.
#
#     docker build --tag waveunet .
#     docker run --rm --user "$(id -u):$(id -g)" --volume "$PWD:/songs" \
#         waveunet separate song.mp3 --stems vocals --format mp3
#
# EXTRAS adds extras of pyproject.toml: docker build --build-arg EXTRAS=serving .
FROM python:3.13-slim AS build
WORKDIR /project
COPY . .
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:3.13-slim
ARG EXTRAS=""
# The wheel is the version.
# hadolint ignore=DL3013
RUN --mount=type=bind,from=build,source=/wheels,target=/wheels \
    set -- /wheels/*.whl \
    && pip install --no-cache-dir "$1${EXTRAS:+[$EXTRAS]}" \
    && useradd --create-home --uid 1000 waveunet \
    && install --directory --owner waveunet /songs
# Any user of --user may write there.
ENV WAVEUNET_TF_CACHE=/tmp/waveunet_tf
USER 1000
WORKDIR /songs
VOLUME /songs
ENTRYPOINT ["waveunet"]
CMD ["--help"]
