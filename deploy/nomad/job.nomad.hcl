# nomad job run deploy/nomad/job.nomad.hcl: placed on the node that has the volume of host-volume.nomad.hcl.
job "shop" {
  group "db" {
    volume "data" {
      type            = "host"
      source          = "shop-db"
      access_mode     = "single-node-single-writer"
      attachment_mode = "file-system"
    }

    task "writer" {
      driver = "docker"

      config {
        image   = "busybox:1.37"
        command = "sh"
        args    = ["-c", "while true; do date >> /data/log; sleep 5; done"]
      }

      volume_mount {
        volume      = "data"
        destination = "/data"
      }
    }
  }
}
