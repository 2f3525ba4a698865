# An agent's image, for people with a registry: Claude Code, git and the usual tools; not root.
# `bottle init NAME --agent claude` writes this file beside the manifest, and `bottle run` builds it. By hand:
#   docker build -t bottle-claude:1 - < docker/agent.Dockerfile
FROM node:22-bookworm-slim
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates curl git jq less openssh-client procps ripgrep \
 && rm -rf /var/lib/apt/lists/*
RUN npm install -g @anthropic-ai/claude-code && npm cache clean --force
# bottle gives /work and the home to this user, and makes the rest read-only.
RUN userdel -r node && useradd --uid 1000 --create-home --shell /bin/bash agent
USER agent
WORKDIR /work
CMD ["claude"]
