{{- define "nfs.labels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/version: {{ .Chart.AppVersion }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- with .Values.customLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* A sidecar's image: its repository below image.baseRepo. Takes (list $ "csiProvisioner"). */}}
{{- define "nfs.sidecarImage" -}}
{{- $root := index . 0 -}}
{{- $image := index $root.Values.image (index . 1) -}}
{{ $root.Values.image.baseRepo }}{{ $image.repository }}:{{ $image.tag }}
{{- end -}}
