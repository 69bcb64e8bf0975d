{{/* nats.conf. A till may sell, and nothing else; the hub fetches, so that nothing crosses the line by itself. */}}
{{- define "satellite.configuration" -}}
server_name: {{ .Values.site }}
port: 4222
http_port: 8222
max_payload: 1MB
{{- if .Values.tls.existingSecret }}
tls {
  cert_file: /etc/nats-tls/tls.crt
  key_file: /etc/nats-tls/tls.key
}
{{- end }}
jetstream {
  domain: {{ .Values.site }}
  store_dir: /data
  max_memory_store: 0
  max_file_store: {{ include "satellite.bytes" . }}
  sync_interval: always # An acknowledged sale is on disk, also after a power cut.
}
accounts {
  SITE {
    jetstream: enabled
    users: [
      {
        user: till
        password: $TILL_PASSWORD
        permissions: {publish: {allow: ["sale.>"]}, subscribe: {allow: ["_INBOX.>", "_INBOX_till.>"]}}
      }
      {user: operator, password: $OPERATOR_PASSWORD}
    ]
  }
}
leafnodes {
  reconnect: 1s
  remotes: [
    {
      url: $HUB_URL
      account: SITE
      {{- if .Values.hub.caSecret }}
      tls {ca_file: /etc/nats-hub-ca/ca.crt}
      {{- end }}
    }
  ]
}
{{- end -}}

{{/* Nine tenths of the volume, in bytes: a full disk would switch JetStream off, a full store only refuses. */}}
{{- define "satellite.bytes" -}}
{{- $size := .Values.storage.size -}}
{{- $unit := regexFind "[MGT]i$" $size -}}
{{- $factor := get (dict "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776) $unit -}}
{{- div (mul (trimSuffix $unit $size | int64) $factor 9) 10 -}}
{{- end -}}

{{/* The site's stream as JetStream's API takes it; the gateway sources it under this name. */}}
{{- define "satellite.stream" -}}
{{- dict
  "name" "SAT"
  "subjects" (list "sale.>")
  "retention" "limits"
  "storage" "file"
  "discard" "new"
  "num_replicas" 1
  "max_age" (mul 86400000000000 (int .Values.days))
  "allow_direct" true
  | toRawJson -}}
{{- end -}}
