# The self-test's image: one static program. It lives for a second, in the agent's network namespace.
FROM scratch
ADD rootfs.tar /
ENTRYPOINT ["/usr/bin/bottle-guest"]
