#!/usr/bin/python
from ansible_collections.kraal.virt.plugins.module_utils.backends.lxc.client import CONNECTION, Lxc
from ansible_collections.kraal.virt.plugins.module_utils.backends.lxc.container import Containers
from ansible_collections.kraal.virt.plugins.module_utils.engine.task import run_resource


def main() -> None:
    run_resource(Containers.table, lambda parameters: Containers(Lxc(parameters)), CONNECTION, "guest")


if __name__ == "__main__":
    main()
