# nomad job run deploy/nomad/csi-plugin.nomad.hcl: CSI on one node (docs/guides/nomad.md says why on one).
# The node's agent needs the raw_exec driver, and socat.
job "lagan-csi" {
  type = "service"

  group "plugin" {
    count = 1

    # The node whose volumes these are.
    constraint {
      attribute = "${node.unique.name}"
      value     = "storage-1"
    }

    task "plugin" {
      driver = "raw_exec"

      config {
        command = "/usr/local/lib/lagan/lagan-csi"
      }

      csi_plugin {
        id   = "lagan"
        type = "monolith"

        # The daemon is on the host: the path is the same for it and for Nomad. data_dir is /opt/nomad/data here.
        stage_publish_base_dir = "/opt/nomad/data/client/csi/monolith/lagan"
      }

      resources {
        cpu    = 50
        memory = 32
      }
    }
  }
}
