{{/*
One stream's configuration as JetStream's API takes it: a mirror of the hub's, or, promoted, a stream of its own. As the
services make them (servicekit, streams.py), so that a service finds nothing to change. Input: name, subjects, standby.
*/}}
{{- define "platform.stream" -}}
{{- $config := dict
  "name" .name
  "retention" "limits"
  "storage" "file"
  "discard" "new"
  "num_replicas" (int .standby.replicas)
  "max_age" (mul 86400000000000 (int .standby.maxAgeDays))
  "allow_direct" true
-}}
{{- if .standby.mirrors -}}
{{- $_ := set $config "mirror" (dict "name" .name "external" (dict "api" "$JS.hub.API" "deliver" "")) -}}
{{- else if .subjects -}}
{{- $_ := set $config "subjects" .subjects -}}
{{- end -}}
{{- toRawJson $config -}}
{{- end -}}
