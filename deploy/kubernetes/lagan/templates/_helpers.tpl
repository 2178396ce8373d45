{{/* The name that the daemon's CSI door has. */}}
{{- define "lagan.driver" -}}csi.lagan.io{{- end }}

{{- define "lagan.labels" -}}
app.kubernetes.io/name: lagan
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "lagan.selector" -}}
app.kubernetes.io/name: lagan
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* What every sidecar has alike. The daemon's socket is root's; none needs more than that. */}}
{{- define "lagan.sidecar" -}}
imagePullPolicy: {{ .Values.imagePullPolicy }}
securityContext:
  runAsUser: 0
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
resources:
  {{- toYaml .Values.resources | nindent 2 }}
{{- end }}

{{- define "lagan.nodeName" -}}
- name: NODE_NAME
  valueFrom:
    fieldRef:
      fieldPath: spec.nodeName
{{- end }}
