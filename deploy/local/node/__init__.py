"""A small kubelet without a container runtime: it runs the containers of its pods as processes of this machine."""
