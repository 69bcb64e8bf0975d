{{/* Nothing comes in or goes out but what is written here. The kubelet's probes need no rule. */}}

{{- define "tieout.dnsEgress" -}}
- to:
    {{- toYaml .Values.networkPolicy.dnsTo | nindent 4 }}
  ports:
    - { protocol: UDP, port: 53 }
    - { protocol: TCP, port: 53 }
{{- end }}

{{/* Database, broker and collector; each of them where values say. */}}
{{- define "tieout.serverEgress" -}}
{{ include "tieout.dnsEgress" . }}
- to:
    {{- toYaml .Values.networkPolicy.databaseTo | nindent 4 }}
  ports:
    - { protocol: TCP, port: {{ .Values.database.port }} }
- to:
    {{- toYaml .Values.networkPolicy.natsTo | nindent 4 }}
  ports:
    - { protocol: TCP, port: {{ include "tieout.portOf" (list (include "tieout.given" (list . "nats" "url")) "4222") }} }
{{- with include "tieout.given" (list . "telemetry" "endpoint") }}
- to:
    {{- toYaml $.Values.networkPolicy.telemetryTo | nindent 4 }}
  ports:
    - { protocol: TCP, port: {{ include "tieout.portOf" (list . (ternary "4317" "4318" (eq $.Values.telemetry.protocol "grpc"))) }} }
{{- end }}
{{- with .Values.networkPolicy.extraEgress }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "tieout.networkPolicy" -}}
{{- if .Values.networkPolicy.enabled -}}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  {{- include "tieout.metadata" (list . "") | nindent 2 }}
spec:
  podSelector:
    matchLabels:
      {{- include "tieout.selector" . | nindent 6 }}
  policyTypes: [Ingress, Egress]
  ingress:
    - from:
        - podSelector:
            matchLabels:
              {{- include "tieout.jobSelector" . | nindent 14 }}
      ports:
        - { protocol: TCP, port: health }
    {{- if eq .Values.telemetry.metrics "prometheus" }}
    {{- with .Values.networkPolicy.metricsFrom }}
    - from:
        {{- toYaml . | nindent 8 }}
      ports:
        - { protocol: TCP, port: metrics }
    {{- end }}
    {{- end }}
    {{- if .Values.http.enabled }}
    {{- with .Values.networkPolicy.httpFrom }}
    - from:
        {{- toYaml . | nindent 8 }}
      ports:
        - { protocol: TCP, port: http }
    {{- end }}
    {{- end }}
  egress:
    {{- include "tieout.serverEgress" . | nindent 4 }}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  {{- include "tieout.metadata" (list . "-jobs") | nindent 2 }}
spec:
  podSelector:
    matchLabels:
      {{- include "tieout.jobSelector" . | nindent 6 }}
  policyTypes: [Ingress, Egress]
  egress:
    {{- include "tieout.serverEgress" . | nindent 4 }}
    - to:
        - podSelector:
            matchLabels:
              {{- include "tieout.selector" . | nindent 14 }}
      ports:
        - { protocol: TCP, port: health }
{{- end -}}
{{- end }}
