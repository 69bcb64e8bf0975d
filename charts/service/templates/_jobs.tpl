{{/* Migrations before the new code, commands by the clock, and the test that `helm test` runs. */}}

{{/*
Runs before anything of this release exists: an existing Secret and the namespace's default ServiceAccount are all it needs.
What a release leaves for after (its post migrations) runs in the next release's hook, when no older pod serves any more.
*/}}
{{- define "tieout.migration" -}}
{{- if .Values.migrations.enabled -}}
apiVersion: batch/v1
kind: Job
metadata:
  name: {{ include "tieout.fullname" . }}-migrate
  namespace: {{ .Release.Namespace }}
  labels:
    {{- include "tieout.jobLabels" (list . "migrate") | nindent 4 }}
  annotations:
    helm.sh/hook: pre-install,pre-upgrade
    helm.sh/hook-weight: "0"
    helm.sh/hook-delete-policy: before-hook-creation  # What it applied can be read for a day.
spec:
  ttlSecondsAfterFinished: 86400
  backoffLimit: 3
  activeDeadlineSeconds: {{ .Values.migrations.deadlineSeconds }}
  template:
    metadata:
      labels:
        {{- include "tieout.jobLabels" (list . "migrate") | nindent 8 }}
    spec:
      restartPolicy: Never
      {{- include "tieout.podSecurity" . | nindent 6 }}
      {{- with include "tieout.placement" . | trim }}
      {{- . | nindent 6 }}
      {{- end }}
      containers:
        - name: migrate
          {{- include "tieout.imageFields" . | nindent 10 }}
          command: [python, -m, tieout.{{ .Chart.Name }}, migrate, --phase, upgrade]
          env:
            - name: TIEOUT_OWNER_URL
              value: {{ include "tieout.databaseUrl" (list . (.Values.migrations.role | default (printf "%s_owner" .Chart.Name))) | quote }}
            - name: TIEOUT_OWNER_PASSWORD_FILE
              value: /run/secrets/tieout/owner-password
            - name: TIEOUT_LOG
              value: json
          resources:
            {{- toYaml .Values.migrations.resources | nindent 12 }}
          {{- include "tieout.containerSecurity" . | nindent 10 }}
          volumeMounts:
            - name: tmp
              mountPath: /tmp
            - name: secrets
              mountPath: /run/secrets/tieout
              readOnly: true
            {{- if .Values.database.tls.caSecret }}
            - name: database-ca
              mountPath: /etc/tieout/database-ca
              readOnly: true
            {{- end }}
      volumes:
        {{- include "tieout.temporaryVolume" . | nindent 8 }}
        - name: secrets
          secret:
            secretName: {{ .Values.migrations.existingSecret }}
            defaultMode: 0440
            items:
              - key: owner-password
                path: owner-password
        {{- with include "tieout.caVolume" . | trim }}
        {{- . | nindent 8 }}
        {{- end }}
{{- end -}}
{{- end }}

{{/* One CronJob per entry of cronJobs that is enabled. */}}
{{- define "tieout.cronJobs" -}}
{{- $defaults := .Values.cronJobDefaults -}}
{{- range $name, $job := .Values.cronJobs }}
{{- if $job.enabled }}
{{- $own := printf "%s-%s" (include "tieout.fullname" $) $name }}
---
apiVersion: batch/v1
kind: CronJob
metadata:
  name: {{ include "tieout.fullname" $ }}-{{ $name }}
  namespace: {{ $.Release.Namespace }}
  labels:
    {{- include "tieout.jobLabels" (list $ $name) | nindent 4 }}
spec:
  schedule: {{ regexReplaceAll "^H " $job.schedule (printf "%d " (mod (adler32sum $own | int64) 60)) | quote }}
  timeZone: {{ $job.timeZone | default $defaults.timeZone }}
  concurrencyPolicy: Forbid
  startingDeadlineSeconds: {{ $defaults.startingDeadlineSeconds }}
  successfulJobsHistoryLimit: {{ $defaults.historyLimit }}
  failedJobsHistoryLimit: {{ $defaults.historyLimit }}
  jobTemplate:
    metadata:
      labels:
        {{- include "tieout.jobLabels" (list $ $name) | nindent 8 }}
    spec:
      activeDeadlineSeconds: {{ $job.deadlineSeconds | default 3600 }}
      backoffLimit: 3
      podFailurePolicy:
        rules:
          - action: FailJob  # It has found something, or its settings are wrong: doing it again changes neither.
            onExitCodes:
              containerName: {{ $name }}
              operator: In
              values: [1, 2]
          - action: Ignore  # A node went away.
            onPodConditions:
              - type: DisruptionTarget
                status: "True"
      template:
        metadata:
          labels:
            {{- include "tieout.jobLabels" (list $ $name) | nindent 12 }}
        spec:
          restartPolicy: Never
          serviceAccountName: {{ include "tieout.fullname" $ }}
          {{- include "tieout.podSecurity" $ | nindent 10 }}
          {{- with include "tieout.placement" $ | trim }}
          {{- . | nindent 10 }}
          {{- end }}
          containers:
            - name: {{ $name }}
              {{- include "tieout.imageFields" $ | nindent 14 }}
              command: [python, -m, tieout.{{ $.Chart.Name }}{{ range $job.command | default (list $name) }}, {{ . }}{{ end }}]
              envFrom:
                - configMapRef:
                    name: {{ include "tieout.fullname" $ }}
              env:
                - name: TIEOUT_HEALTH_PORT
                  value: "0"
                - name: OTEL_METRICS_EXPORTER
                  value: none
                {{- include "tieout.whereabouts" $ | nindent 16 }}
              resources:
                {{- toYaml ($job.resources | default $defaults.resources) | nindent 16 }}
              {{- include "tieout.containerSecurity" $ | nindent 14 }}
              volumeMounts:
                {{- include "tieout.mounts" $ | nindent 16 }}
          volumes:
            {{- include "tieout.volumes" $ | nindent 12 }}
{{- end }}
{{- end }}
{{- end }}

{{/* `helm test`: asks the service, over its Service, whether it can work. */}}
{{- define "tieout.test" -}}
{{- if .Values.test.enabled -}}
apiVersion: v1
kind: Pod
metadata:
  name: {{ include "tieout.fullname" . }}-test
  namespace: {{ .Release.Namespace }}
  labels:
    {{- include "tieout.jobLabels" (list . "test") | nindent 4 }}
  annotations:
    helm.sh/hook: test
    helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
spec:
  restartPolicy: Never
  activeDeadlineSeconds: 120
  {{- include "tieout.podSecurity" . | nindent 2 }}
  {{- with include "tieout.placement" . | trim }}
  {{- . | nindent 2 }}
  {{- end }}
  containers:
    - name: test
      {{- include "tieout.imageFields" . | nindent 6 }}
      command:
        - python
        - -c
        - |
          import sys, urllib.error, urllib.request
          try:
              with urllib.request.urlopen(sys.argv[1], timeout=10) as answer:
                  print(answer.status, answer.read(4096).decode())
          except urllib.error.HTTPError as refusal:
              sys.exit(f"{refusal.code} {refusal.read(4096).decode()}")
        - http://{{ include "tieout.fullname" . }}.{{ .Release.Namespace }}.svc:8081/readyz
      resources:
        requests: { cpu: 50m, memory: 32Mi }
        limits: { memory: 64Mi }
      {{- include "tieout.containerSecurity" . | nindent 6 }}
{{- end -}}
{{- end }}
