{{/* What a schema cannot say. Fails with the key at fault and the next step. */}}
{{- define "platform.check" -}}
{{- $derived := .Files.Get "files/permissions.json" | fromJson -}}
{{- $taken := concat (keys $derived.services) (list "operator" "system" "standby" "till" "hub") -}}
{{- range .Values.sites -}}
{{- if has . $taken -}}
{{- fail (printf "sites: %q is the name of a service or of a user of ours; give the site another one." .) -}}
{{- end -}}
{{- end -}}
{{- if and .Values.standby.mirrors .Values.standby.promoted -}}
{{- fail "standby.promoted: this hub cannot mirror another one and write its streams; set standby.mirrors to false." -}}
{{- end -}}
{{- if and .Values.externalSecrets.enabled (not .Values.externalSecrets.storeName) -}}
{{- fail "externalSecrets.storeName: name the SecretStore or ClusterSecretStore that holds the passwords." -}}
{{- end -}}
{{- with .Values.postgres -}}
{{- if and .backup.enabled (not .backup.destination) -}}
{{- fail "postgres.backup.destination: say where backups go, e.g. s3://bucket/folder." -}}
{{- end -}}
{{- if and .replica.enabled (not .replica.destination) -}}
{{- fail "postgres.replica.destination: say where the other region's backups lie, e.g. s3://bucket/folder." -}}
{{- end -}}
{{- if and (or .backup.enabled .replica.enabled) (not (index $.Values "plugin-barman-cloud").enabled) -}}
{{- fail "plugin-barman-cloud.enabled: backups and replicas need the plugin; set it to true." -}}
{{- end -}}
{{- end -}}
{{- end -}}
