{{/* Where backups lie. Input: name, store (destination, endpoint, secret), retention, root. */}}
{{- define "platform.objectStore" -}}
apiVersion: barmancloud.cnpg.io/v1
kind: ObjectStore
metadata:
  name: {{ .name }}
  labels: {{- include "platform.labels" .root | nindent 4 }}
spec:
  {{- with .retention }}
  retentionPolicy: {{ . | quote }}
  {{- end }}
  configuration:
    destinationPath: {{ .store.destination | quote }}
    {{- with .store.endpoint }}
    endpointURL: {{ . | quote }}
    {{- end }}
    s3Credentials:
      {{- if .store.secret }}
      accessKeyId: {name: {{ .store.secret }}, key: ACCESS_KEY_ID}
      secretAccessKey: {name: {{ .store.secret }}, key: ACCESS_SECRET_KEY}
      {{- else }}
      inheritFromIAMRole: true
      {{- end }}
    wal:
      compression: gzip
      maxParallel: 4
    data:
      compression: gzip
      jobs: 2
{{- end -}}
