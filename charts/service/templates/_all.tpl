{{/* Everything of one service. A service's chart is `{{ include "tieout.service" . }}` and its values. */}}
{{- define "tieout.service" -}}
{{- include "tieout.checks" . -}}
{{- $parts := list "serviceAccount" "externalSecret" "configmap" "notifyConfigmap" "migration" "deployment" "clusterService" "ingress" -}}
{{- $parts = concat $parts (list "disruption" "scaledObject" "horizontalPodAutoscaler" "networkPolicy" "cronJobs") -}}
{{- $parts = concat $parts (list "serviceMonitor" "prometheusRules" "dashboards" "test") -}}
{{- range $parts }}
{{- with include (printf "tieout.%s" .) $ | trim }}
---
{{ trimPrefix "---" . | trim }}
{{- end }}
{{- end }}
{{- end }}

{{- define "tieout.notes" -}}
{{- $name := include "tieout.fullname" . -}}
{{ .Chart.Name }} {{ include "tieout.imageTag" . }} is in namespace {{ .Release.Namespace }} as {{ $name }}.

  kubectl -n {{ .Release.Namespace }} rollout status deployment/{{ $name }}
  helm -n {{ .Release.Namespace }} test {{ .Release.Name }}
{{- if .Values.http.enabled }}
  kubectl -n {{ .Release.Namespace }} port-forward service/{{ $name }} 8080:80   # then http://127.0.0.1:8080/docs
{{- if and .Values.networkPolicy.enabled (not .Values.networkPolicy.httpFrom) }}

Nobody may reach its HTTP port yet: name those who may in networkPolicy.httpFrom.
{{- end }}
{{- if not .Values.http.adminToken }}

Nobody may administer it: put admin-token into its Secret and set http.adminToken to true.
{{- end }}
{{- end }}
{{- if not .Values.migrations.enabled }}

migrations.enabled is false: before each upgrade run `python -m tieout.{{ .Chart.Name }} migrate --phase upgrade` as {{ .Chart.Name }}_owner.
{{- end }}
{{- if .Values.notify.channels }}

Notifications leave the cluster: networkPolicy.extraEgress must let them out, usually TCP 443.
{{- end }}
{{- if not (include "tieout.given" (list . "telemetry" "endpoint")) }}

No traces are sent: telemetry.endpoint is empty.
{{- end }}
{{- end }}
