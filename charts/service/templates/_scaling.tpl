{{/* By the consumers' lag (KEDA), by CPU (HPA), or not at all. */}}

{{- define "tieout.scaledObject" -}}
{{- if eq .Values.autoscaling.kind "keda" -}}
{{- $scaling := .Values.autoscaling -}}
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata:
  {{- include "tieout.metadata" (list . "") | nindent 2 }}
spec:
  scaleTargetRef:
    apiVersion: apps/v1
    kind: Deployment
    name: {{ include "tieout.fullname" . }}
  minReplicaCount: {{ $scaling.minReplicas }}
  maxReplicaCount: {{ $scaling.maxReplicas }}
  pollingInterval: {{ $scaling.pollingSeconds }}
  advanced:
    horizontalPodAutoscalerConfig:
      behavior:
        scaleDown:
          stabilizationWindowSeconds: {{ $scaling.scaleDownSeconds }}
  triggers:
    {{- range .Values.flows }}
    - type: nats-jetstream
      metadata:
        natsServerMonitoringEndpoint: {{ include "tieout.given" (list $ "nats" "monitoring") | quote }}
        account: {{ $.Values.nats.account }}
        stream: {{ .stream }}
        consumer: {{ .consumer }}
        lagThreshold: {{ $scaling.lagThreshold | toJson | quote }}
    {{- end }}
    {{- if $scaling.cpuUtilization }}
    - type: cpu
      metricType: Utilization
      metadata:
        value: {{ $scaling.cpuUtilization | quote }}
    {{- end }}
{{- end -}}
{{- end }}

{{- define "tieout.horizontalPodAutoscaler" -}}
{{- if eq .Values.autoscaling.kind "hpa" -}}
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  {{- include "tieout.metadata" (list . "") | nindent 2 }}
spec:
  scaleTargetRef:
    apiVersion: apps/v1
    kind: Deployment
    name: {{ include "tieout.fullname" . }}
  minReplicas: {{ .Values.autoscaling.minReplicas }}
  maxReplicas: {{ .Values.autoscaling.maxReplicas }}
  behavior:
    scaleDown:
      stabilizationWindowSeconds: {{ .Values.autoscaling.scaleDownSeconds }}
  metrics:
    - type: Resource
      resource:
        name: cpu
        target:
          type: Utilization
          averageUtilization: {{ .Values.autoscaling.cpuUtilization | default 70 }}
{{- end -}}
{{- end }}
