{{/* What every pod of ours has, whoever starts it. */}}

{{/* Pod Security Standard "restricted", and a user that no image of ours has files of. */}}
{{- define "tieout.podSecurity" -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile:
    type: RuntimeDefault
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end }}

{{- define "tieout.containerSecurity" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
{{- end }}

{{- define "tieout.imageFields" -}}
image: {{ include "tieout.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
{{- end }}

{{- define "tieout.placement" -}}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end }}

{{/* Mounts and volumes of the service's own processes, serving or run by the clock. */}}
{{- define "tieout.mounts" -}}
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
{{- if .Values.notify.channels }}
- name: notify
  mountPath: /etc/tieout/notify
  readOnly: true
{{- if .Values.notify.existingSecret }}
- name: notify-secrets
  mountPath: /run/secrets/tieout-notify
  readOnly: true
{{- end }}
{{- end }}
{{- end }}

{{- define "tieout.volumes" -}}
{{ include "tieout.temporaryVolume" . }}
- name: secrets
  secret:
    secretName: {{ include "tieout.secretName" . }}
    defaultMode: 0440
    items:
      {{- range include "tieout.secretKeys" . | fromYamlArray }}
      - key: {{ . }}
        path: {{ . }}
      {{- end }}
{{- include "tieout.caVolume" . }}
{{- if .Values.notify.channels }}
- name: notify
  configMap:
    name: {{ include "tieout.fullname" . }}-notify
{{- if .Values.notify.existingSecret }}
- name: notify-secrets
  secret:
    secretName: {{ .Values.notify.existingSecret }}
    defaultMode: 0440
{{- end }}
{{- end }}
{{- end }}

{{- define "tieout.temporaryVolume" -}}
- name: tmp
  emptyDir:
    sizeLimit: {{ .Values.temporaryBytesMax }}
{{- end }}

{{- define "tieout.caVolume" -}}
{{- with .Values.database.tls }}
{{- if .caSecret }}
- name: database-ca
  secret:
    secretName: {{ .caSecret }}
    defaultMode: 0440
    items:
      - key: {{ .caKey }}
        path: {{ .caKey }}
{{- end }}
{{- end }}
{{- end }}
