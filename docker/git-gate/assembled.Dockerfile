# git-gate's image from programs that are there already: `bottle` makes rootfs.tar of the static
# git-gate, gitleaks, the host's CA roots, and folders that the sidecar's user owns.
FROM scratch
ADD rootfs.tar /
USER 65532:65532
ENV PATH=/usr/bin SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
EXPOSE 9418
ENTRYPOINT ["/usr/bin/git-gate"]
CMD ["serve", "--config", "/etc/git-gate/git-gate.toml"]
