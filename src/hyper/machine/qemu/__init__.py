"""The QEMU driver: microvm machines under KVM or QEMU's own emulation (TCG)."""
