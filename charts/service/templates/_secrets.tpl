{{/* Secrets are files below /run/secrets/tieout, never values: from a Secret that exists, or one that External Secrets keeps. */}}

{{- define "tieout.secretKeys" -}}
- database-password
- nats-password
{{- if and .Values.http.enabled .Values.http.adminToken }}
- admin-token
{{- end }}
{{- end }}

{{- define "tieout.secretName" -}}
{{- .Values.secrets.existingSecret | default (include "tieout.fullname" .) -}}
{{- end }}

{{- define "tieout.externalSecret" -}}
{{- with .Values.secrets.externalSecret -}}
{{- if .store -}}
apiVersion: external-secrets.io/v1
kind: ExternalSecret
metadata:
  {{- include "tieout.metadata" (list $ "") | nindent 2 }}
spec:
  refreshInterval: {{ .refreshInterval }}
  secretStoreRef:
    kind: {{ .storeKind }}
    name: {{ .store }}
  target:
    name: {{ include "tieout.secretName" $ }}
    creationPolicy: Owner
    deletionPolicy: Retain
  data:
    {{- $key := .key | default (printf "tieout/%s" $.Chart.Name) }}
    {{- range include "tieout.secretKeys" $ | fromYamlArray }}
    - secretKey: {{ . }}
      remoteRef:
        key: {{ $key }}
        property: {{ . }}
    {{- end }}
{{- end -}}
{{- end -}}
{{- end }}
