# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the options of community.docker are here: all that are not the same in both. Pure."""

from __future__ import annotations

from ...engine.peers import Other, Peer

VERSION = "4.8.5"

_CONNECTION = (
    Other("docker_url", "docker_host"),
    Other("ca_path ca_cert tls_ca_cert cacert_path", "tls_ca"),
    Other("client_cert tls_client_cert cert_path", "tls_cert"),
    Other("client_key tls_client_key key_path", "tls_key"),
    Other(
        "tls validate_certs tls_verify tls_hostname",
        "",
        "With tls_ca, or tls_cert and tls_key, the connection is encrypted, and the engine's certificate is always "
        "verified, its name included",
    ),
    Other("api_version docker_api_version", "", "It is agreed on with the engine"),
)
#: Of the modules that talk to the engine themselves.
_API = (
    *_CONNECTION,
    Other("timeout", "api_timeout"),
    Other("use_ssh_client", "", "An engine over ssh:// is always reached with the program ssh"),
    Other("debug", "", "Run with -vvv to see what is sent to the engine"),
)
_TAG = Other("tag", "name", "Write it behind the name, like app:1.2")
_LOOK = "A container has the wanted image when it was made from this very image, whatever its names and labels are"

CONTAINER = (
    Peer(
        "community.docker.docker_container",
        VERSION,
        (
            *_CONNECTION,
            Other("timeout", "api_timeout", "The option timeout is how long wait_for may take"),
            Other("use_ssh_client", "", "An engine over ssh:// is always reached with the program ssh"),
            Other("debug", "", "Run with -vvv to see what is sent to the engine"),
            Other("auto_remove cleanup", "", "A container stays until a task says state=absent"),
            Other("capabilities", "cap_add"),
            Other("command_handling", "", "A command is a list of words, or a text that is split as a shell splits it"),
            Other(
                "comparisons",
                "purge disruption",
                "What a task does not name is not compared; lists and mappings are merged unless purge names them",
            ),
            Other("container_default_behavior", "", "What a task does not name is not managed"),
            Other("cpu_period cpu_quota", "cpus", "It is the quota divided by the period"),
            Other("default_host_ip", "ports", "Write it before the port, like 127.0.0.1:8080:80"),
            Other(
                "detach output_logs", "", "A task does not wait until a command ends; see docker wait and docker logs"
            ),
            Other(
                "device_read_bps device_read_iops device_write_bps device_write_iops",
                "io_limits",
                "Write a mapping for each device, like {device: /dev/sda, read_bps: 1MiB}",
            ),
            Other("dns_opts", "dns_options"),
            Other("dns_search_domains", "dns_search"),
            Other("dns_servers", "dns"),
            Other("env_file", "env", "Write the variables themselves"),
            Other("etc_hosts", "extra_hosts"),
            Other("exposed expose", "exposed_ports"),
            Other("force_kill forcekill", "stop_timeout", "With 0 a container is killed at once"),
            Other("groups", "group_add"),
            Other("healthy_wait_timeout", "timeout", "It is how long wait_for=healthy may take"),
            Other("image_comparison image_label_mismatch image_name_mismatch", "", _LOOK),
            Other("keep_volumes", "remove_storage", "Volumes stay unless it is true"),
            Other("kernel_memory", "", "Linux has no such limit any more"),
            Other("kill_signal", "stop_signal"),
            Other(
                "links", "networks", "They are links of a network, in which containers find each other by name as well"
            ),
            Other("log_opt", "log_options"),
            Other("networks_cli_compatible", "networks", "A new container is connected to these only"),
            Other("oom_killer", "oom_kill_disable"),
            Other("paused", "state", "Write state=paused"),
            Other("platform", "", "An image is pulled for the engine's own platform"),
            Other("published_ports", "ports"),
            Other("pull_check_mode_behavior", "", "Under check mode the registry is asked, and nothing is pulled"),
            Other("recreate", "", "A container is made anew when something differs that needs it"),
            Other("removal_wait_timeout", "", "A task waits until the engine has removed it"),
            Other("restart", "", "See docker restart; what a task changes is in effect when it ends"),
            Other("restart_retries", "restart_policy", "Write on-failure:5"),
            Other("security_opts", "security_opt"),
            Other("storage_opts", "", "Set storage-opts for all containers, with daemon_options of docker_setup"),
            Other("uts", "uts_mode"),
            Other("volume_driver", "mounts", "Write driver in the mapping of a volume"),
            Other("volumes", "mounts"),
            Other("volumes_from", "mounts", "Name the volumes"),
            Other("working_dir", "workdir"),
        ),
        (
            Other("started", "state=running"),
            Other("healthy", "state=running wait_for=healthy"),
        ),
    ),
)

_BUILD = "Write it below build"
IMAGE = (
    Peer(
        "community.docker.docker_image",
        VERSION,
        (
            *_API,
            _TAG,
            Other("source", "pull build load import tag", "The one that is set is the source"),
            Other("archive_path", "", "See docker save"),
            Other("load_path", "load", "Write its path below load"),
            Other("push", "", "See docker push"),
            Other("repository", "name tag", "Write the new name in name, and the image that gets it in tag"),
            Other("force_source", "pull", "Write pull=always; what is built or loaded is compared by its content"),
            Other("force_tag", "tag", "A name always moves to the image that is wanted"),
            Other("force_absent", "force"),
            Other("pull", "pull", "Write missing or always; the platform is the engine's own"),
        ),
    ),
    Peer(
        "community.docker.docker_image_build",
        VERSION,
        (
            *_CONNECTION,
            _TAG,
            Other("args dockerfile labels network nocache path target", "build", _BUILD),
            Other("pull", "build", _BUILD),
            Other(
                "rebuild", "build", "It is built again when one of its files or options, or the image below it, changes"
            ),
            Other("cli_context docker_cli", "docker_host", "No program of Docker's is needed"),
            Other(
                "cache_from etc_hosts outputs platform secrets shm_size",
                "",
                "It is built by the engine's classic builder, for the engine itself",
            ),
        ),
    ),
    Peer(
        "community.docker.docker_image_export",
        VERSION,
        (*_API, _TAG, Other("names path", "", "See docker save"), Other("force", "force", "It is for state=absent")),
    ),
    Peer("community.docker.docker_image_load", VERSION, (*_API, Other("path", "load", "Write it below load"))),
    Peer(
        "community.docker.docker_image_pull",
        VERSION,
        (
            *_API,
            _TAG,
            Other("platform", "", "An image is pulled for the engine's own platform"),
            Other("pull", "pull", "Write missing for not_present"),
        ),
    ),
    Peer(
        "community.docker.docker_image_push",
        VERSION,
        (*_API, _TAG, Other("name", "name", "Nothing is pushed; see docker push")),
    ),
    Peer(
        "community.docker.docker_image_remove",
        VERSION,
        (*_API, _TAG, Other("force", "force", "Write state=absent"), Other("prune", "", "See docker image prune")),
    ),
    Peer(
        "community.docker.docker_image_tag",
        VERSION,
        (
            *_API,
            Other("name tag", "tag", "Write the name with its tag"),
            Other("repository", "name", "Write a task for each"),
            Other("existing_images", "", "A name always moves to the image that is wanted"),
        ),
    ),
)

NETWORK = (
    Peer(
        "community.docker.docker_network",
        VERSION,
        (
            *_API,
            Other("network_name", "name"),
            Other("appends incremental connected containers", "", "Name the network in networks of the container"),
            Other("config_from config_only ingress scope", "", "They are for networks of a swarm"),
            Other("driver_options", "options"),
            Other("enable_ipv4", "", "A network has IPv4"),
            Other("force", "disruption", "Write disruption=recreate; the option force is for state=absent"),
            Other("ipam_config", "subnets", "The field iprange is ip_range"),
            Other("ipam_driver_options", "ipam_options"),
        ),
    ),
)

VOLUME = (
    Peer(
        "community.docker.docker_volume",
        VERSION,
        (
            *_API,
            Other("volume_name", "name"),
            Other("recreate", "disruption", "Write disruption=destroy for options-changed"),
        ),
    ),
)
