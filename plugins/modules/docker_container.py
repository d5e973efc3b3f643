#!/usr/bin/python
# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: docker_container
short_description: Manage a Docker container
version_added: 0.1.0
author:
  - the kraal.virt contributors (@kraal-virt)
description:
  - Creates a container, changes it, brings it into a power state, or removes it.
  - Only what the task sets is managed. Everything else stays as it is, through a re-creation too.
  - Limits, the restart policy and networks change while the container runs. What cannot change so needs a re-creation,
    which O(disruption) allows by default.
  - At a re-creation the new container is made beside the old one, under another name and with everything that the old
    one had. Then the old one is stopped and renamed, the new one gets its name and is started. The old one is kept
    until the new one runs, and with O(wait_for) until that has come true. If the new one does not get there, it is
    removed, and the old one gets its name and its power state back. Anonymous volumes move over.
  - A run that was cut off, in a re-creation or elsewhere, is cleared up by the next one, which ends what was begun or
    goes back to the old container.
  - After every change the container is read again. The task fails if the engine shows something else than was asked
    for.
options:
  state:
    choices: [running, stopped, paused, present, absent]
  image:
    description:
      - The image, by name with a tag (V(latest) unless given) or a digest, or by its id. V(debian:12),
        V(docker.io/library/debian:12), V(registry.example:5000/team/app:1.2), V(debian@sha256:...), V(sha256:...) and
        the first twelve or more digits of an id are understood.
      - Needed to create a container. A container has the wanted image when its image's id is the one that this name
        stands for on the host now, whichever name it was created with. When a tag has moved on to another image, the
        next run re-creates the container with that one.
      - What the container has from its image (environment, labels, command, user, volumes) then comes from the new
        image. What it was given of its own stays.
      - A change needs a re-creation.
    type: str
  command:
    description:
      - The command, as a list of words, or as one text that is split into words as a shell splits them. No shell runs
        it.
      - An empty list or text stands for the image's own command. An image's command goes with its entrypoint, so with
        another O(entrypoint) there is none.
      - A change needs a re-creation.
    type: raw
  entrypoint:
    description:
      - The entrypoint, written like O(command).
      - An empty list stands for the image's own entrypoint, a list with one empty word (V([""])) for none.
      - A change needs a re-creation.
    type: raw
  env:
    description:
      - Environment variables, beside those of the image.
      - The value of a variable whose name speaks of a secret is hidden in plans, differences and logs. Such a name
        contains C(password), C(passwd), C(passphrase), C(secret), C(token) or C(credential), is or has the word
        C(pass), or ends like C(API_KEY), C(ACCESS_KEY) or C(PRIVATE_KEY).
      - C(docker inspect) shows all of them to whoever may use the engine.
      - A change needs a re-creation. Merged with what is there, unless O(purge) names it.
    type: dict
  user:
    description:
      - The user, and behind a colon the group, that the command runs as. An empty text is the image's own.
      - A change needs a re-creation.
    type: str
  workdir:
    description:
      - The directory that the command starts in. An empty text is the image's own.
      - A change needs a re-creation.
    type: str
  hostname:
    description:
      - The name that the container has for itself. The engine takes the container's id unless it is set.
      - A change needs a re-creation.
    type: str
  domainname:
    description:
      - The domain of that name.
      - A change needs a re-creation.
    type: str
  labels:
    description:
      - Labels, beside those of the image.
      - A change needs a re-creation. Merged with what is there, unless O(purge) names it.
    type: dict
  tty:
    description:
      - Give the command a terminal.
      - A change needs a re-creation.
    type: bool
  interactive:
    description:
      - Keep the command's input open.
      - A change needs a re-creation.
    type: bool
  stop_signal:
    description:
      - The signal that asks the container to end, with or without C(SIG), or as a number.
      - A change needs a re-creation.
    type: str
  stop_timeout:
    description:
      - How many seconds the container has to end before it is killed. The engine's default is 10.
      - A change needs a re-creation.
    type: int
  healthcheck:
    description:
      - How the engine finds out whether the container is well. What is not set here stays as it is, or as the image
        says.
      - Times are a number of seconds, or a number with a unit, like V(30s), V(1m30s) or V(500ms). V(0) stands for the
        engine's own default.
      - A change needs a re-creation.
    type: dict
    suboptions:
      test:
        description: The command that finds out, as a list of words, or a text for the container's shell. V(NONE) turns
          the image's own check off.
        type: raw
      interval:
        description: The time between two checks, like V(30s).
        type: str
      timeout:
        description: How long a check may take, like V(5s).
        type: str
      start_period:
        description: How long failures do not count after the start, like V(1m30s).
        type: str
      start_interval:
        description: The time between two checks in that period, like V(1s). Known to engines with API 1.44 (Docker 25)
          or later.
        type: str
      retries:
        description: After how many failures in a row the container is not well.
        type: int
  mac_address:
    description:
      - The MAC address of the container's first network.
      - A change needs a re-creation.
    type: str
  exposed_ports:
    description:
      - Ports that the container serves, as V(80), V(53/udp) or V(8000-8003), beside those of its image and those that
        O(ports) publishes. This publishes none.
      - A change needs a re-creation. Merged with what is there, unless O(purge) names it.
    type: list
    elements: str
  publish_all_ports:
    description:
      - Publish all exposed ports, each on a host port of the engine's choice.
      - A change needs a re-creation.
    type: bool
  ports:
    description:
      - Ports to publish. V(8080:80) is port 8080 of the host for port 80 of the container, V(127.0.0.1:8080:80/udp) one
        address of the host and UDP, V([2001:db8::5]:8080:80) one of IPv6, V(8000-8003:80-83) four ports, V(80) a host
        port of the engine's choice, V(8000-8010:80) the first free one of a range.
      - Quote them. YAML reads C(22:22) without quotes as the number 1342.
      - A port of the container that is named replaces all that was published for it.
      - A change needs a re-creation. Merged with what is there, unless O(purge) names it.
    type: list
    elements: str
  mounts:
    description:
      - What to mount. Each is a text like V(data:/data) or V(/srv/site:/site:ro), or a mapping with C(target), and with
        C(type) (V(bind), V(volume) or V(tmpfs)), C(source) and C(read_only).
      - A mapping of V(bind) can have C(propagation) and C(selinux), one of V(volume) C(selinux), C(no_copy), C(labels),
        C(driver) and C(driver_options), one of V(tmpfs) C(size) and C(mode) (quoted, like V("1777")).
      - Behind the second colon of a text stand words like those of C(docker run -v), with commas between them. V(ro)
        and V(rw) are C(read_only), V(rslave) and the like C(propagation), V(nocopy) is C(no_copy), and V(z) and V(Z)
        are C(selinux), with which SELinux labels the source for all containers or for this one alone.
      - A source that begins with a slash is a path on the engine's host, which must exist, unless C(selinux) is set.
        Then the engine makes it. Any other source is a volume, which is made if it is not there, with its C(labels) and
        C(driver). A text that is a target alone, or a mapping without a source and type, is an anonymous volume.
      - An entry is known by its target. What it does not name (the source, say, or the propagation) stays as it is,
        unless the type changes.
      - A change needs a re-creation. Merged with what is there, unless O(purge) names it.
    type: list
    elements: raw
  tmpfs:
    description:
      - Memory file systems to mount, as V(/run) or V(/run:size=64m,noexec). The order of the options does not matter.
      - A change needs a re-creation. Merged with what is there, unless O(purge) names it.
    type: list
    elements: str
  network_mode:
    description:
      - V(bridge), V(host), V(none), V(container:NAME) or a network. V(default) is V(bridge).
      - V(host), V(none) and V(container:NAME) exclude O(networks). A network can be named here and in O(networks), and
        is then the first one.
      - Another one takes the container off the network of the old one, unless O(networks) names that.
      - A change needs a re-creation.
    type: str
  networks:
    description:
      - Networks to connect the container to. Each is a name, or a mapping with C(name), C(ipv4_address),
        C(ipv6_address), C(aliases), C(links) (like V([db, postgres-1:db])), C(driver_options), C(mac_address) (engines
        with API 1.44, Docker 25, or later) and C(gw_priority) (API 1.48, Docker 28, or later).
      - A new container is connected to these only, before it starts. Networks that a container has beyond these are
        kept unless O(purge) names V(networks). The same goes for the aliases, links and driver options of one network.
        An empty list with such a O(purge) is no network at all, V(bridge) included.
      - An address has to be one of the network's subnets, and nobody else's.
      - Networks are connected and disconnected live. Another address or alias disconnects the network and connects it
        again. What is not named of it stays as it is, and so it does at a re-creation, the MAC address included.
      - A container whose O(network_mode) is V(host), V(none) or V(container:NAME) can be connected by a re-creation
        only.
    type: list
    elements: raw
  cpus:
    description:
      - How many processors the container may use, parts of one included. V(0) takes the limit away, which needs a
        re-creation.
      - Changed live.
    type: float
  cpu_shares:
    description:
      - The container's weight against others when processors are scarce, from 2 to 262144. The engine's default is
        1024.
      - Changed live.
    type: int
  cpuset_cpus:
    description:
      - The processors that it may run on, as V(0-2,4). An empty text takes the limit away, which needs a re-creation.
      - Changed live.
    type: str
  cpuset_mems:
    description:
      - The memory nodes that it may use, as V(0,1). An empty text takes the limit away, which needs a re-creation.
      - Changed live.
    type: str
  memory:
    description:
      - How much memory it may use, as a size like V(512MiB), V(6MiB) at least. V(0) takes the limit away, which needs a
        re-creation.
      - A size is a number, which may have a fraction, and a unit. C(KiB), C(MiB), C(GiB) and the bare letters C(K),
        C(M), C(G) count in powers of 1024, C(kB), C(MB), C(GB) in powers of 1000. A bare number is bytes. Upper and
        lower case are the same.
      - Where O(memory_swap) is not set and the container has the engine's default for it, it goes along, as twice the
        memory.
      - Changed live.
    type: str
  memory_reservation:
    description:
      - How much memory it is held to when the host is short of it, as a size. V(0) takes the limit away, which needs a
        re-creation.
      - Changed live.
    type: str
  memory_swap:
    description:
      - How much memory and swap it may use together, as a size, or V(unlimited). V(0) is the engine's default, twice
        the O(memory). To take a limit away needs a re-creation.
      - Changed live.
    type: str
  restart_policy:
    description:
      - Whether the engine starts it again, V(no), V(always), V(unless-stopped), V(on-failure), or V(on-failure:5) for
        five times at most.
      - Changed live.
    type: str
  dns:
    description:
      - Name servers.
      - A change needs a re-creation.
    type: list
    elements: str
  dns_search:
    description:
      - Domains to search names in.
      - A change needs a re-creation.
    type: list
    elements: str
  dns_options:
    description:
      - Options of the resolver, managed as a whole. Their order does not matter.
      - A change needs a re-creation.
    type: list
    elements: str
  extra_hosts:
    description:
      - "Names that the container finds in C(/etc/hosts), as a list of V(db:192.0.2.5) or V(gateway:host-gateway), or as
        a mapping like V({db: 192.0.2.5})."
      - A name can have several addresses, which are managed together. In a list each is an entry of its own, in a
        mapping they are a list.
      - A change needs a re-creation. Merged with what is there, unless O(purge) names it.
    type: raw
  cap_add:
    description:
      - Capabilities to add, with or without C(CAP_).
      - A change needs a re-creation. Merged with what is there, unless O(purge) names it.
    type: list
    elements: str
  cap_drop:
    description:
      - Capabilities to take away, with or without C(CAP_).
      - A change needs a re-creation. Merged with what is there, unless O(purge) names it.
    type: list
    elements: str
  devices:
    description:
      - Devices of the host, as V(/dev/fuse), V(/dev/sda:/dev/xvda) or V(/dev/sda:/dev/xvda:r).
      - A change needs a re-creation. Merged with what is there, unless O(purge) names it.
    type: list
    elements: str
  device_requests:
    description:
      - Devices that a driver of the engine brings, such as graphics cards. They are managed as a whole.
      - A change needs a re-creation.
    type: list
    elements: dict
    suboptions:
      driver:
        description: The driver, like V(nvidia). The engine finds one by the O(device_requests[].capabilities) unless
          set.
        type: str
      count:
        description: How many, V(-1) for all. It is all unless O(device_requests[].device_ids) names some.
        type: int
      device_ids:
        description: Which ones, by their ids.
        type: list
        elements: str
      capabilities:
        description: Lists of words, of which the driver has to fulfil one. V([[gpu]]) unless set.
        type: list
        elements: raw
      options:
        description: Options for the driver.
        type: dict
  io_limits:
    description:
      - How fast it may read and write block devices. Each is a mapping with C(device) (a path on the host),
        C(read_bps), C(write_bps) (sizes, for each second), C(read_iops) and C(write_iops). V(0) stands for no limit.
      - A change needs a re-creation. Merged with what is there, unless O(purge) names it.
    type: list
    elements: raw
  device_cgroup_rules:
    description:
      - Rules for devices, as V(c 42:* rmw).
      - A change needs a re-creation. Merged with what is there, unless O(purge) names it.
    type: list
    elements: str
  sysctls:
    description:
      - Kernel parameters of the container's own namespaces.
      - A change needs a re-creation. Merged with what is there, unless O(purge) names it.
    type: dict
  ulimits:
    description:
      - Limits of its processes, as V(nofile=1024) or V(nofile=1024:2048) (soft and hard). A colon in the place of the
        equals sign is the same.
      - A change needs a re-creation. Merged with what is there, unless O(purge) names it.
    type: list
    elements: str
  log_driver:
    description:
      - Where what the container prints goes, such as V(json-file), V(local), V(journald) or V(none). Another driver
        starts without the options of the one before.
      - A change needs a re-creation.
    type: str
  log_options:
    description:
      - Options of the log driver. The value of one whose name speaks of a secret, such as C(splunk-token), is hidden as
        in O(env).
      - A change needs a re-creation. Merged with what is there, unless O(purge) names it.
    type: dict
  init:
    description:
      - Run an init in it, which passes signals on and reaps processes.
      - A change needs a re-creation.
    type: bool
  privileged:
    description:
      - Give it all rights on the host.
      - A change needs a re-creation.
    type: bool
  read_only:
    description:
      - Make its root file system read-only.
      - A change needs a re-creation.
    type: bool
  security_opt:
    description:
      - Options for what confines it, as V(no-new-privileges), V(apparmor=unconfined) or
        V(seccomp=/path/to/profile.json). A path is read on the host where the task runs.
      - A change needs a re-creation. Merged with what is there, unless O(purge) names it.
    type: list
    elements: str
  group_add:
    description:
      - More groups for its processes.
      - A change needs a re-creation. Merged with what is there, unless O(purge) names it.
    type: list
    elements: str
  shm_size:
    description:
      - The size of C(/dev/shm), written like O(memory).
      - A change needs a re-creation.
    type: str
  pid_mode:
    description:
      - The namespace for processes, V(host) or V(container:NAME). Its own unless set.
      - A change needs a re-creation.
    type: str
  ipc_mode:
    description:
      - The namespace for shared memory, such as V(private), V(shareable), V(host) or V(container:NAME).
      - A change needs a re-creation.
    type: str
  uts_mode:
    description:
      - The namespace for the host name, V(host), or an empty text for one of its own. V(host) excludes O(hostname).
      - A change needs a re-creation.
    type: str
  userns_mode:
    description:
      - The namespace for users, V(host) where the engine maps users to others (userns-remap), or an empty text for what
        the engine does.
      - A change needs a re-creation.
    type: str
  cgroup_parent:
    description:
      - The control group that the container's own is below, as a path, or as a slice where systemd manages them.
      - A change needs a re-creation.
    type: str
  runtime:
    description:
      - The runtime, V(runc) or another one that the engine has.
      - A change needs a re-creation.
    type: str
  memory_swappiness:
    description:
      - How readily its memory is moved to swap, from 0 to 100. Control groups of version 2 do not have it.
      - A change needs a re-creation.
    type: int
  oom_kill_disable:
    description:
      - Let its processes wait rather than kill one of them when it has used up its O(memory). Control groups of version
        2 do not have it.
      - A change needs a re-creation.
    type: bool
  cgroupns_mode:
    description:
      - The namespace for control groups.
      - A change needs a re-creation.
    type: str
    choices: [host, private]
  oom_score_adj:
    description:
      - How readily it is killed when the host is out of memory, from -1000 to 1000.
      - A change needs a re-creation.
    type: int
  purge:
    choices:
      - cap_add
      - cap_drop
      - device_cgroup_rules
      - devices
      - env
      - exposed_ports
      - extra_hosts
      - group_add
      - io_limits
      - labels
      - log_options
      - mounts
      - networks
      - ports
      - security_opt
      - sysctls
      - tmpfs
      - ulimits
  disruption:
    default: recreate
  wait_for:
    description:
      - What to wait for at the end of the task, with O(state=running) and O(state=present). It is not waited for under
        check mode.
      - V(running) waits until it runs, V(address) until it has an address, V(healthy) until its health check says so.
      - Also waited for when nothing had to change. A re-creation whose successor does not get there within O(timeout)
        is undone.
      - Without it, a container that is started has to run for half a second at a re-creation, and be found running
        otherwise. One that ended by itself in the first ten seconds of its last run is watched for longer than it ran.
        One that ends again and again, and is started by its O(restart_policy), does not count as running.
        Use O(state=present) for one that ends by itself.
    type: str
    choices: [none, running, address, healthy]
    default: none
  env_file:
    description:
      - Files on the host where the task runs, with a C(KEY=value) on each line, as C(docker run --env-file) reads them.
        Quotes are part of the value, nothing is expanded, and a line that begins with C(#) is a comment.
      - A later file wins over an earlier one, and O(env) over all of them. Values are hidden as in O(env),
        and besides all that have eight characters or more, since such a file is where secrets are kept.
    type: list
    elements: path
  pull:
    description:
      - When to pull the image. V(missing) pulls what is not on the host. V(always) asks the registry each time, and
        pulls when it has another content than the host; the container is then re-created. V(never) pulls nothing. An
        image that is named by its id is never pulled.
      - Whether the registry has the image is asked before anything is touched, under C(--check) too. An image that is
        nowhere fails the task there.
    type: str
    choices: [missing, always, never]
    default: missing
  registry_username:
    description:
      - The user for the image's registry. Without it, what C(docker login) has left on the host is used.
    type: str
  registry_password:
    description:
      - The password for the image's registry.
    type: str
  remove_storage:
    description:
      - With O(state=absent), remove the volumes too that only this container uses, named and anonymous ones. The
        RV(plan) names them.
      - A volume that any other container uses, running or not, stays, and so does every path of the host.
    type: bool
    default: false
extends_documentation_fragment:
  - kraal.virt.guest
  - kraal.virt.guest.container
  - kraal.virt.docker
  - kraal.virt.attributes
  - kraal.virt.attributes.actiongroup_docker
notes:
  - A container on its way to replace another is called C(NAME.kraal-new) or C(NAME.kraal-new-STATE), the one that it
    replaces C(NAME.kraal-was-STATE), with its restart policy behind it, which is C(no) meanwhile. These names are taken.
  - Two tasks on one container, on the same host, wait for each other. A task that was killed holds up nobody.
  - A limit that the host's kernel does not know (C(blkio_weight) often) fails the task, where the engine itself would
    only warn.
  - What the engine would refuse is refused before anything is touched, under check mode too, as far as it can be known.
    So are more processors than its host has, an address that another container has, a container to join that is not
    there, and what does not go with O(network_mode).
  - Whether a port of the host is free is checked before anything is touched, among containers, and where the engine is
    on the same host among all programs.
seealso:
  - module: kraal.virt.fleet
  - module: kraal.virt.docker_image
  - module: kraal.virt.docker_network
  - module: kraal.virt.docker_volume
"""

EXAMPLES = r"""
- name: A container that runs
  kraal.virt.docker_container:
    name: web
    image: debian:12
    command: [sleep, infinity]
    init: true
    memory: 64MiB
    ports:
      - 127.0.0.1:18080:80
    env:
      MODE: production

- name: More memory and a processor limit, while it runs
  kraal.virt.docker_container:
    name: web
    memory: 128MiB
    cpus: 0.5

- name: Another environment, by a re-creation that keeps the rest
  kraal.virt.docker_container:
    name: web
    env:
      MODE: test

- name: Refuse what would need a re-creation
  kraal.virt.docker_container:
    name: web
    image: debian:12
    restart_policy: unless-stopped
    disruption: live

- name: Exactly this environment, and a volume
  kraal.virt.docker_container:
    name: web
    env:
      DB_PASSWORD: "{{ lookup('ansible.builtin.password', '/dev/null') }}"
    mounts:
      - web-data:/data
    purge: [env]

- name: Wait until it is well
  kraal.virt.docker_container:
    name: web
    healthcheck:
      test: test -d /data
      interval: 500ms
      retries: 3
    wait_for: healthy

- name: Stop it for a while
  kraal.virt.docker_container:
    name: web
    state: stopped

- name: Remove it, and the volumes that it alone uses
  kraal.virt.docker_container:
    name: web
    state: absent
    remove_storage: true
"""

RETURN = r"""
plan:
  description:
    - The steps. The C(action) is C(create), C(recreate), C(set), C(remove), C(rename), C(clean), C(start), C(stop),
      C(pause), C(resume), C(attach), C(detach), C(reattach) or C(pull).
  returned: always
  type: list
  elements: dict
  sample:
    - {guest: web, action: set, key: memory, before: 64MiB, after: 128MiB, disruption: live}
diff:
  description: What C(--diff) shows of the changed keys.
  returned: always
  type: dict
  sample: {before: {memory: 64MiB}, after: {memory: 128MiB, cpus: 0.5}, before_header: docker web,
    after_header: docker web}
guest:
  description:
    - The container as it is now, or under C(--check) will be. Null where it is absent.
    - R(The guide,ansible_collections.kraal.virt.docsite.guide_plans_guest) tells what each key has.
    - C(place) is the engine, like C(unix:///srv/b/docker.sock) or C(tcp://192.0.2.10:2376), empty for the host's own
      socket. C(id) is the engine's. C(raw_state) is the engine's word, such as C(exited), C(created) or C(restarting).
    - C(image) is what it was made from, as that was named then. C(autostart) comes of
      O(restart_policy=always) and O(restart_policy=unless-stopped).
    - C(labels) has those of the container alone. One that its image has with the same text is its image's.
    - C(pending_restart) is always empty, since a container's changes are live or take a new one.
  returned: always
  type: dict
  sample: {name: web, backend: docker, place: "",
    id: 728c2f285d9f1c11396cc13f9b510cf85f3d9262b311543a91ce416a09b3d950, state: running, raw_state: running,
    image: "debian:12", cpus: 0.5, memory: 128MiB,
    addresses: [{address: 172.17.0.5, family: ipv4, network: bridge, mac: "02:42:ac:11:00:05"}],
    labels: {role: web}, autostart: false, pending_restart: []}
trace: {returned: at C(-vvv), type: list, elements: dict,
  description: "R(What was sent to the engines,ansible_collections.kraal.virt.docsite.guide_fleet_trace)."}
"""

from ansible_collections.kraal.virt.plugins.module_utils.backends.docker.client import CONNECTION, connect
from ansible_collections.kraal.virt.plugins.module_utils.backends.docker.container.resource import Containers
from ansible_collections.kraal.virt.plugins.module_utils.backends.docker.peers import CONTAINER
from ansible_collections.kraal.virt.plugins.module_utils.engine.task import run_resource


def main() -> None:
    run_resource(
        Containers.table, lambda parameters: Containers(connect(parameters)), CONNECTION, "guest", peers=CONTAINER
    )


if __name__ == "__main__":
    main()
