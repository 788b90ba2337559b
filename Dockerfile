# syntax=docker/dockerfile:1
# Tidewire in a container: no root, no shell, nothing writable but the volume with the messages.
#   docker build --tag tidewire .
# How it is configured and run: docs/install.md, packaging/docker/compose.yaml.

FROM rust:1.95-slim-bookworm AS build
WORKDIR /source
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/source/target \
    cargo build --release --locked --package tidewire-cli \
    && install -D --strip target/release/tidewire /image/usr/bin/tidewire \
    && install -d /image/etc/tidewire \
    && install -d -o 65532 -g 65532 -m 0700 /image/var/lib/tidewire

# The C library, authorities and time zones, and a user `nonroot` (65532).
FROM gcr.io/distroless/cc-debian12:nonroot
LABEL org.opencontainers.image.title="Tidewire" \
      org.opencontainers.image.source="https://github.com/tidewire/tidewire" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0"
COPY --from=build /image /
USER 65532:65532
ENV TIDEWIRE_DATA_DIR=/var/lib/tidewire
VOLUME ["/var/lib/tidewire"]
# WebSockets and web chat, REST.
EXPOSE 8085 8092
# A large store is checked before the server answers.
HEALTHCHECK --interval=10s --timeout=5s --start-period=300s --start-interval=2s \
    CMD ["/usr/bin/tidewire", "check-health", "--config", "/etc/tidewire/tidewire.toml"]
ENTRYPOINT ["/usr/bin/tidewire"]
CMD ["serve", "--config", "/etc/tidewire/tidewire.toml"]
