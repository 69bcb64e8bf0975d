{{/* What a process of the service is told: the names are fields of its Settings, and OpenTelemetry's own. */}}

{{/* Called with (list context role): no password is in it. */}}
{{- define "tieout.databaseUrl" -}}
{{- $context := index . 0 -}}
{{- $database := $context.Values.database -}}
{{- $name := $database.name | default (printf "tieout_%s" $context.Chart.Name) -}}
{{- $tls := printf "sslmode=%s" $database.tls.mode -}}
{{- if $database.tls.caSecret }}{{ $tls = printf "%s&sslrootcert=/etc/tieout/database-ca/%s" $tls $database.tls.caKey }}{{ end -}}
{{- printf "postgresql://%s@%s:%d/%s?%s" (index . 1) (include "tieout.given" (list $context "database" "host")) (int $database.port) $name $tls -}}
{{- end }}

{{- define "tieout.environment" -}}
TIEOUT_DATABASE_URL: {{ include "tieout.databaseUrl" (list . (.Values.database.role | default (printf "%s_app" .Chart.Name))) | quote }}
TIEOUT_DATABASE_PASSWORD_FILE: /run/secrets/tieout/database-password
TIEOUT_NATS_URL: {{ include "tieout.given" (list . "nats" "url") | quote }}
TIEOUT_NATS_USER: {{ .Values.nats.user | default .Chart.Name | quote }}
TIEOUT_NATS_PASSWORD_FILE: /run/secrets/tieout/nats-password
TIEOUT_HEALTH_HOST: 0.0.0.0
TIEOUT_HEALTH_PORT: "8081"
TIEOUT_LOG: json
TIEOUT_STOP_SECONDS_MAX: {{ .Values.shutdown.stopSecondsMax | toJson | quote }}
{{- if .Values.http.enabled }}
TIEOUT_HTTP_HOST: 0.0.0.0
TIEOUT_HTTP_PORT: {{ .Values.http.port | toJson | quote }}
{{- if .Values.http.adminToken }}
TIEOUT_ADMIN_TOKEN_FILE: /run/secrets/tieout/admin-token
{{- end }}
{{- end }}
{{- if .Values.notify.channels }}
TIEOUT_NOTIFY_FILE: /etc/tieout/notify/notify.toml
{{- end }}
{{- range $field, $value := .Values.settings }}
TIEOUT_{{ upper $field }}: {{ $value | toJson | trimAll "\"" | quote }}
{{- end }}
{{- with include "tieout.given" (list . "telemetry" "endpoint") }}
OTEL_EXPORTER_OTLP_ENDPOINT: {{ quote . }}
OTEL_EXPORTER_OTLP_PROTOCOL: {{ $.Values.telemetry.protocol }}
OTEL_TRACES_EXPORTER: otlp
OTEL_TRACES_SAMPLER: parentbased_traceidratio
OTEL_TRACES_SAMPLER_ARG: {{ $.Values.telemetry.sampledShare | toJson | quote }}
{{- else }}
OTEL_TRACES_EXPORTER: none
{{- end }}
OTEL_METRICS_EXPORTER: {{ .Values.telemetry.metrics }}
{{- if eq .Values.telemetry.metrics "prometheus" }}
OTEL_EXPORTER_PROMETHEUS_HOST: 0.0.0.0
OTEL_EXPORTER_PROMETHEUS_PORT: "9464"
{{- end }}
{{- range $name, $value := .Values.environment }}
{{ $name }}: {{ $value | quote }}
{{- end }}
{{- end }}

{{- define "tieout.configmap" -}}
apiVersion: v1
kind: ConfigMap
metadata:
  {{- include "tieout.metadata" (list . "") | nindent 2 }}
data:
  {{- include "tieout.environment" . | nindent 2 }}
{{- end }}

{{- define "tieout.notifyConfigmap" -}}
{{- if .Values.notify.channels -}}
apiVersion: v1
kind: ConfigMap
metadata:
  {{- include "tieout.metadata" (list . "-notify") | nindent 2 }}
data:
  notify.toml: |
    {{- .Values.notify.channels | nindent 4 }}
{{- end -}}
{{- end }}
