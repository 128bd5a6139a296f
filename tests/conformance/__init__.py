"""Every provisioner of ours under the suite that is public: `kaitobus conformance`."""
