# nomad volume create deploy/nomad/host-volume.nomad.hcl
type      = "host"
name      = "shop-db"
plugin_id = "lagan"

# What it may hold.
capacity_min = "1GB"
capacity_max = "1GB"

capability {
  access_mode     = "single-node-single-writer"
  attachment_mode = "file-system"
}

# What `lagan volume create -o` takes, all in quotation marks.
parameters {
  mode     = "0770"
  schedule = "15m"
  keep     = "hourly=24,daily=7"
}
