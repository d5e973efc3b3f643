from __future__ import annotations

from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.client import CONNECTION, connect
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.vm import Vms
from ansible_collections.kraal.virt.plugins.module_utils.engine.task import run_resource


def main() -> None:
    run_resource(Vms.table, lambda parameters: Vms(connect(parameters)), CONNECTION, "guest")


if __name__ == "__main__":
    main()
