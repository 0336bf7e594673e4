"""vagrant/Vagrantfile, made from the table: a virtual machine for each distribution."""

from __future__ import annotations

from collections.abc import Sequence

from vagrant.matrix.kernels import TABLE, Kernel

__all__ = ["VAGRANTFILE", "vagrantfile"]

VAGRANTFILE = TABLE.with_name("Vagrantfile")
HEAD = """\
# Made by `python -m vagrant.matrix vagrantfile` from kernels.toml; do not edit.
#
#   vagrant up trixie
#   vagrant provision trixie --provision-with matrix     # results: /sockproxy/build/vagrant

ENV["LC_ALL"] = "C.UTF-8"

Vagrant.configure("2") do |config|
  config.vm.synced_folder "..", "/sockproxy", type: "rsync",
    rsync__exclude: [".git/", ".venv/", "build/"]

  config.vm.provision "setup", type: "shell", inline: <<~SHELL
    set -e
    export DEBIAN_FRONTEND=noninteractive
    apt-get -qq update
    apt-get -qq install -y make python3
    cd /sockproxy && make setup
  SHELL
"""
MACHINE = """
  # Kernel {name}
  config.vm.define "{machine}", autostart: false do |machine|
    machine.vm.box = "{box}"
    machine.vm.hostname = "{machine}"
    machine.vm.provider "virtualbox" do |provider|
      provider.memory = {memory}
      provider.cpus = {cpus}
    end
    machine.vm.provider "libvirt" do |provider|
      provider.memory = {memory}
      provider.cpus = {cpus}
    end
    machine.vm.provision "matrix", type: "shell", run: "never", inline: <<~SHELL
      rm -rf /sockproxy/build/vagrant/{machine} && mkdir -p /sockproxy/build/vagrant/{machine}
      bash /sockproxy/vagrant/matrix/guest.sh /sockproxy/build/vagrant/{machine} \\
        /sockproxy/.venv/bin/python /sockproxy -
      cat /sockproxy/build/vagrant/{machine}/status
    SHELL
  end
"""


def vagrantfile(kernels: Sequence[Kernel]) -> str:
    """The whole file. A machine is called as its box is: debian/trixie64 -> trixie."""
    machines = [
        MACHINE.format(
            name=kernel.name,
            machine=kernel.box.rpartition("/")[2].removesuffix("64"),
            box=kernel.box,
            memory=kernel.memory,
            cpus=kernel.cpus,
        )
        for kernel in kernels
        if kernel.box
    ]
    return HEAD + "".join(machines) + "end\n"
