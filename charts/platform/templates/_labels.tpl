{{/* Labels of our own objects here; the remote charts label theirs. */}}
{{- define "platform.labels" -}}
app.kubernetes.io/name: platform
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: platform
app.kubernetes.io/part-of: tieout
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end -}}

{{/* What the NATS chart labels its servers with. */}}
{{- define "platform.nats.selector" -}}
app.kubernetes.io/name: nats
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: nats
{{- end -}}

{{/* What CloudNativePG labels its instances with, and these charts their pods. */}}
{{- define "platform.postgres.selector" -}}
cnpg.io/cluster: tieout-postgres
{{- end -}}

{{- define "platform.collector.selector" -}}
app.kubernetes.io/name: opentelemetry-collector
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "platform.jaeger.selector" -}}
app.kubernetes.io/name: jaeger
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* "true" or "": an object whose kind the cluster must know. Input: dict with value (auto|true|false), api, root. */}}
{{- define "platform.wanted" -}}
{{- $said := toString .value -}}
{{- if or (eq $said "true") (and (eq $said "auto") (.root.Capabilities.APIVersions.Has .api)) -}}true{{- end -}}
{{- end -}}
