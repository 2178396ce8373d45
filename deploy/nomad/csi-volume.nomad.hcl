# nomad volume create deploy/nomad/csi-volume.nomad.hcl
type      = "csi"
id        = "shop-files"
name      = "shop-files"
plugin_id = "lagan"

capacity_min = "1GB"
capacity_max = "1GB"

capability {
  access_mode     = "single-node-writer"
  attachment_mode = "file-system"
}

parameters {
  mode = "0770"
}
