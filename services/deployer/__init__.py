"""The deployer: turns plans into StatefulSets and Services, watches their pods, and says why one does not start."""
