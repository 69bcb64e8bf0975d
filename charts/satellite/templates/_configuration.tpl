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
        include ../nats-users/till.conf
        permissions: {publish: {allow: ["sale.>"]}, subscribe: {allow: ["_INBOX.>", "_INBOX_till.>"]}}
      }
      {
        user: operator
        include ../nats-users/operator.conf
      }
    ]
  }
}
leafnodes {
  reconnect: 1s
  remotes: [
    {
      include ../nats-users/hub.conf
      account: SITE
      {{- if .Values.hub.caSecret }}
      tls {ca_file: /etc/nats-hub-ca/ca.crt}
      {{- end }}
    }
  ]
}
{{- end -}}

{{/*
Writes the passwords as the server reads them, into memory: the Secret's files hold bare words. Others than these
characters would need escaping in an address or in the server's dialect, so they are refused here, by the file's name.
*/}}
{{- define "satellite.users" -}}
word() {
  found=$(cat "/run/secrets/tieout/$1")
  case "$found" in
    "" | *[!A-Za-z0-9_-]*) echo "$1: use letters, digits, _ and -, and at least one of them" >&2; exit 1 ;;
  esac
  printf %s "$found"
}
umask 077
hub=$(word hub-password)
till=$(word till-password)
operator=$(word operator-password)
printf 'url: "%s://%s:%s@%s"\n' "${HUB%%://*}" "$SITE" "$hub" "${HUB#*://}" >/etc/nats-users/hub.conf
printf 'password: "%s"\n' "$till" >/etc/nats-users/till.conf
printf 'password: "%s"\n' "$operator" >/etc/nats-users/operator.conf
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
