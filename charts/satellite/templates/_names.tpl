{{- define "satellite.name" -}}
{{- $name := ternary .Release.Name (printf "%s-satellite" .Release.Name) (contains "satellite" .Release.Name) -}}
{{- $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* Never changes: a StatefulSet's selector cannot. */}}
{{- define "satellite.selector" -}}
app.kubernetes.io/name: satellite
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "satellite.labels" -}}
{{ include "satellite.selector" . }}
{{ include "satellite.commonLabels" . }}
{{- end -}}

{{/* Pods of jobs and tests bear another name, so that no Service takes them for the server. */}}
{{- define "satellite.jobLabels" -}}
app.kubernetes.io/name: satellite-job
app.kubernetes.io/instance: {{ .Release.Name }}
{{ include "satellite.commonLabels" . }}
{{- end -}}

{{- define "satellite.commonLabels" -}}
app.kubernetes.io/component: broker
app.kubernetes.io/part-of: tieout
app.kubernetes.io/version: {{ .Values.image.tag | default (printf "%s-alpine" .Chart.AppVersion) | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
tieout.io/site: {{ .Values.site }}
{{- end -}}

{{- define "satellite.image" -}}
{{- with .Values.image -}}
{{- if .digest }}{{ .repository }}@{{ .digest }}{{ else }}{{ .repository }}:{{ .tag | default (printf "%s-alpine" $.Chart.AppVersion) }}{{ end -}}
{{- end -}}
{{- end -}}

{{- define "satellite.secret" -}}
{{- .Values.secrets.existingSecret | default (include "satellite.name" .) -}}
{{- end -}}

{{/* What a schema cannot say. */}}
{{- define "satellite.check" -}}
{{- if has .Values.site (list "gateway" "order" "inventory" "finance" "control" "operator" "system" "standby" "till" "hub") -}}
{{- fail (printf "site: %q is the name of a service or of a user of ours; give the site another one." .Values.site) -}}
{{- end -}}
{{- range $key := list "image" "toolsImage" -}}
{{- if eq (index $.Values $key).tag "latest" -}}
{{- fail (printf "%s.tag: latest does not say what runs. Name a version." $key) -}}
{{- end -}}
{{- end -}}
{{- if eq (empty .Values.secrets.existingSecret) (empty .Values.secrets.externalSecret.store) -}}
{{- fail "secrets: say exactly one of secrets.existingSecret (a Secret with hub-password, till-password, operator-password) and secrets.externalSecret.store." -}}
{{- end -}}
{{- if and .Values.secrets.externalSecret.store (not .Values.secrets.externalSecret.key) -}}
{{- fail "secrets.externalSecret.key: name the key in the store whose properties are hub-password, till-password and operator-password." -}}
{{- end -}}
{{- end -}}

{{- define "satellite.podSecurity" -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end -}}

{{- define "satellite.containerSecurity" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end -}}
