{{- define "tieout.deployment" -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  {{- include "tieout.metadata" (list . "") | nindent 2 }}
spec:
  {{- if eq .Values.autoscaling.kind "none" }}
  replicas: {{ .Values.replicas }}
  {{- end }}
  revisionHistoryLimit: 5
  strategy:
    type: RollingUpdate
    rollingUpdate:
      maxUnavailable: 0
      maxSurge: 1
  selector:
    matchLabels:
      {{- include "tieout.selector" . | nindent 6 }}
  template:
    metadata:
      labels:
        {{- include "tieout.labels" . | nindent 8 }}
        {{- with .Values.podLabels }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      annotations:
        checksum/config: {{ include "tieout.environment" . | sha256sum }}
        checksum/secrets: {{ printf "%s%s" (include "tieout.secretName" .) (include "tieout.externalSecret" .) | sha256sum }}
        {{- if .Values.notify.channels }}
        checksum/notify: {{ .Values.notify.channels | sha256sum }}
        {{- end }}
        {{- with .Values.podAnnotations }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
    spec:
      serviceAccountName: {{ include "tieout.fullname" . }}
      {{- include "tieout.podSecurity" . | nindent 6 }}
      {{- with include "tieout.placement" . | trim }}
      {{- . | nindent 6 }}
      {{- end }}
      {{- with .Values.affinity }}
      affinity:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .Values.topologySpread }}
      topologySpreadConstraints:
        {{- range . }}
        - topologyKey: {{ .topologyKey }}
          whenUnsatisfiable: {{ .whenUnsatisfiable }}
          maxSkew: {{ .maxSkew | default 1 }}
          matchLabelKeys: [pod-template-hash]
          labelSelector:
            matchLabels:
              {{- include "tieout.selector" $ | nindent 14 }}
        {{- end }}
      {{- end }}
      terminationGracePeriodSeconds: {{ include "tieout.graceSeconds" . }}
      containers:
        - name: {{ include "tieout.name" . }}
          {{- include "tieout.imageFields" . | nindent 10 }}
          command: [python, -m, tieout.{{ .Chart.Name }}, serve]
          envFrom:
            - configMapRef:
                name: {{ include "tieout.fullname" . }}
          env:
            {{- include "tieout.whereabouts" . | nindent 12 }}
          ports:
            {{- if .Values.http.enabled }}
            - name: http
              containerPort: {{ .Values.http.port }}
            {{- end }}
            - name: health
              containerPort: 8081
            {{- if eq .Values.telemetry.metrics "prometheus" }}
            - name: metrics
              containerPort: 9464
            {{- end }}
          startupProbe:
            {{- include "tieout.probe" (list "/startupz" .Values.probes.startup) | nindent 12 }}
          readinessProbe:
            {{- include "tieout.probe" (list "/readyz" .Values.probes.readiness) | nindent 12 }}
          livenessProbe:
            {{- include "tieout.probe" (list "/livez" .Values.probes.liveness) | nindent 12 }}
          {{- if .Values.shutdown.preStopSeconds }}
          lifecycle:
            preStop:
              sleep:
                seconds: {{ .Values.shutdown.preStopSeconds }}
          {{- end }}
          resources:
            {{- toYaml .Values.resources | nindent 12 }}
          {{- include "tieout.containerSecurity" . | nindent 10 }}
          volumeMounts:
            {{- include "tieout.mounts" . | nindent 12 }}
      volumes:
        {{- include "tieout.volumes" . | nindent 8 }}
{{- end }}

{{/* First the endpoints forget the pod, then it stops, and only then it would be killed. */}}
{{- define "tieout.graceSeconds" -}}
{{- with .Values.shutdown -}}
{{- add (int .preStopSeconds) (ceil .stopSecondsMax) (int .marginSeconds) -}}
{{- end -}}
{{- end }}

{{/* Where a process runs, for its traces. */}}
{{- define "tieout.whereabouts" -}}
- name: POD_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
- name: NODE_NAME
  valueFrom:
    fieldRef:
      fieldPath: spec.nodeName
- name: OTEL_RESOURCE_ATTRIBUTES
  value: {{ printf "k8s.namespace.name=%s,k8s.pod.name=$(POD_NAME),k8s.node.name=$(NODE_NAME)" .Release.Namespace | quote }}
{{- end }}

{{- define "tieout.probe" -}}
httpGet:
  path: {{ index . 0 }}
  port: health
{{- with index . 1 }}
periodSeconds: {{ .periodSeconds }}
timeoutSeconds: {{ .timeoutSeconds }}
failureThreshold: {{ .failureThreshold }}
{{- end }}
{{- end }}

{{- define "tieout.serviceAccount" -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  {{- include "tieout.metadata" (list . "") | nindent 2 }}
automountServiceAccountToken: false
{{- end }}

{{- define "tieout.disruption" -}}
{{- if .Values.disruption.enabled -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  {{- include "tieout.metadata" (list . "") | nindent 2 }}
spec:
  maxUnavailable: {{ .Values.disruption.maxUnavailable }}
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels:
      {{- include "tieout.selector" . | nindent 6 }}
{{- end -}}
{{- end }}
