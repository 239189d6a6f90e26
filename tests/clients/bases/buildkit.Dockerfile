# What BuildKit's own image is to buildx: buildkitd, and buildctl to reach it by.
FROM debian
RUN apt-get update \
    && apt-get install -y --no-install-recommends runc \
    && rm -rf /var/lib/apt/lists/*
COPY buildkitd buildctl /usr/bin/
ENTRYPOINT ["buildkitd"]
