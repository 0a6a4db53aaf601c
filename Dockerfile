# Chancery alone: the database, the chain and Kubo are other containers (docker-compose.yml).
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    cargo build --release --locked -p chancery && cp target/release/chancery /chancery

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates curl postgresql-client \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --home-dir /var/lib/chancery --create-home chancery
COPY --from=build /chancery /usr/local/bin/chancery
USER chancery
VOLUME /var/lib/chancery
EXPOSE 8004
ENTRYPOINT ["chancery"]
CMD ["serve"]
