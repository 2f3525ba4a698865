# cred-proxy's image from a program that is there already; see docker/git-gate/assembled.Dockerfile.
FROM scratch
ADD rootfs.tar /
USER 65532:65532
ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
EXPOSE 9099
ENTRYPOINT ["/usr/bin/cred-proxy"]
CMD ["--config", "/etc/cred-proxy/config.toml"]
