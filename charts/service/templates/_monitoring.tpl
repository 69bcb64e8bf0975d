{{/* For the Prometheus operator and Grafana's sidecar, where there are such. */}}

{{- define "tieout.hasOperator" -}}
{{- $wanted := toString .Values.monitoring.enabled -}}
{{- if or (eq $wanted "true") (and (eq $wanted "auto") (.Capabilities.APIVersions.Has "monitoring.coreos.com/v1")) -}}yes{{- end -}}
{{- end }}

{{/* Scraped series look like those that come over OTLP: the same job, and the label `service` of some metrics kept. */}}
{{- define "tieout.serviceMonitor" -}}
{{- if and (include "tieout.hasOperator" .) (eq .Values.telemetry.metrics "prometheus") -}}
apiVersion: monitoring.coreos.com/v1
kind: ServiceMonitor
metadata:
  {{- include "tieout.metadata" (list . "") | nindent 2 }}
    {{- with .Values.monitoring.labels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  selector:
    matchLabels:
      {{- include "tieout.selector" . | nindent 6 }}
  endpoints:
    - port: metrics
      path: /metrics
      interval: {{ .Values.monitoring.intervalSeconds }}s
      honorLabels: true
      relabelings:
        - targetLabel: job
          replacement: tieout-{{ .Chart.Name }}
{{- end -}}
{{- end }}

{{/*
One per file of the chart's files/alerts, whose own braces are Prometheus' and stay as they are. Where it is said where the
runbooks can be read, each alert links to its own.
*/}}
{{- define "tieout.prometheusRules" -}}
{{- if and (include "tieout.hasOperator" .) .Values.monitoring.alerts -}}
{{- range $path, $content := .Files.Glob "files/alerts/*.yaml" }}
{{- $rules := $.Files.Get $path | fromYaml }}
{{- with $.Values.monitoring.runbooks.baseUrl }}
{{- $base := trimSuffix "/" . }}
{{- range $group := $rules.groups }}
{{- range $rule := $group.rules }}
{{- $_ := set $rule.annotations "runbook_url" (printf "%s/%s.md" $base $rule.alert) }}
{{- end }}
{{- end }}
{{- end }}
---
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  {{- include "tieout.metadata" (list $ (printf "-%s" (base $path | trimSuffix ".yaml"))) | nindent 2 }}
    {{- with $.Values.monitoring.labels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  {{- toYaml $rules | nindent 2 }}
{{- end }}
{{- end -}}
{{- end }}

{{- define "tieout.dashboards" -}}
{{- if .Values.monitoring.dashboards -}}
{{- range $path, $content := .Files.Glob "files/dashboards/*.json" }}
---
apiVersion: v1
kind: ConfigMap
metadata:
  {{- include "tieout.metadata" (list $ (printf "-dashboard-%s" (base $path | trimSuffix ".json"))) | nindent 2 }}
    grafana_dashboard: "1"
data:
  {{ base $path }}: |
    {{- $.Files.Get $path | nindent 4 }}
{{- end }}
{{- end -}}
{{- end }}
