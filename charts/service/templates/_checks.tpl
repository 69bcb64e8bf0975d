{{/* What the schema cannot say. Each message names the key that has to change. */}}
{{- define "tieout.checks" -}}
{{- $values := .Values -}}
{{- $name := .Chart.Name -}}
{{- range $key, $owner := dict "http" "gateway" "ingress" "gateway" "notify" "control" -}}
{{- if and (ne $name $owner) (ne (toJson (index $values $key)) (toJson (index $values.service.exports.defaults $key))) -}}
{{- fail (printf "%s: %s belongs to the chart %s alone. Take it out of the values of %s." $name $key $owner $name) -}}
{{- end -}}
{{- end -}}
{{- if eq $values.image.tag "latest" -}}
{{- fail (printf "%s: image.tag is latest, and nobody could say what runs. Name a version, or leave it empty for the chart's own." $name) -}}
{{- end -}}
{{- if eq (dig "tieout" "image" "tag" "" ($values.global | default dict)) "latest" -}}
{{- fail (printf "%s: global.tieout.image.tag is latest, and nobody could say what runs. Name a version, or leave it empty for the charts' own." $name) -}}
{{- end -}}
{{- range $label := list "app.kubernetes.io/name" "app.kubernetes.io/instance" -}}
{{- if hasKey $values.podLabels $label -}}
{{- fail (printf "%s: podLabels sets %s, which belongs to the selectors. Choose another label." $name $label) -}}
{{- end -}}
{{- end -}}
{{- if and $values.http.enabled (has (int $values.http.port) (list 8081 9464)) -}}
{{- fail (printf "%s: http.port is %d, where probes (8081) and metrics (9464) are served. Choose another one." $name (int $values.http.port)) -}}
{{- end -}}
{{- range $site := splitList "," (dig "sites" "" $values.settings) -}}
{{- with trim $site -}}
{{- if not (regexMatch "^[a-z][a-z0-9-]{0,30}$" .) -}}
{{- fail (printf "%s: settings.sites names %q. A site's name has small letters, digits and hyphens, up to 31, and begins with a letter: store-1." $name .) -}}
{{- end -}}
{{- if has . (list "gateway" "order" "inventory" "finance" "control" "operator" "system" "standby" "till" "hub") -}}
{{- fail (printf "%s: settings.sites names %q, which is a service or a user of ours. Give the site another name." $name .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if not (include "tieout.given" (list . "database" "host")) -}}
{{- fail (printf "%s: database.host is empty. Name the Postgres server (or global.tieout.database.host)." $name) -}}
{{- end -}}
{{- if not (include "tieout.given" (list . "nats" "url")) -}}
{{- fail (printf "%s: nats.url is empty. Set it to nats://<host>:4222 (or global.tieout.nats.url)." $name) -}}
{{- end -}}
{{- if and $values.secrets.existingSecret $values.secrets.externalSecret.store -}}
{{- fail (printf "%s: secrets.existingSecret and secrets.externalSecret.store are both set. Keep one of them." $name) -}}
{{- end -}}
{{- if not (or $values.secrets.existingSecret $values.secrets.externalSecret.store) -}}
{{- fail (printf "%s: set secrets.existingSecret (a Secret with the keys %s) or secrets.externalSecret.store." $name (include "tieout.secretKeys" . | fromYamlArray | join ", ")) -}}
{{- end -}}
{{- if and $values.migrations.enabled (not $values.migrations.existingSecret) -}}
{{- fail (printf "%s: migrations.existingSecret is empty. Name a Secret with the key owner-password that exists before the release, or set migrations.enabled to false." $name) -}}
{{- end -}}
{{- if ne $values.autoscaling.kind "none" -}}
{{- if gt (int $values.autoscaling.minReplicas) (int $values.autoscaling.maxReplicas) -}}
{{- fail (printf "%s: autoscaling.minReplicas is above autoscaling.maxReplicas." $name) -}}
{{- end -}}
{{- end -}}
{{- if and (eq $values.autoscaling.kind "keda") (not (include "tieout.given" (list . "nats" "monitoring"))) -}}
{{- fail (printf "%s: autoscaling.kind is keda, so nats.monitoring must name NATS' monitoring endpoint as <host>:8222 (or global.tieout.nats.monitoring)." $name) -}}
{{- end -}}
{{- if and (eq $values.telemetry.metrics "otlp") (not (include "tieout.given" (list . "telemetry" "endpoint"))) -}}
{{- fail (printf "%s: telemetry.metrics is otlp, so telemetry.endpoint must name a collector (or global.tieout.telemetry.endpoint)." $name) -}}
{{- end -}}
{{- if and (eq (toString $values.monitoring.enabled) "true") (ne $values.telemetry.metrics "prometheus") -}}
{{- fail (printf "%s: monitoring.enabled is true, but telemetry.metrics is %s: nothing could be scraped. Set it to prometheus." $name $values.telemetry.metrics) -}}
{{- end -}}
{{- if and $values.ingress.enabled (not $values.ingress.host) -}}
{{- fail (printf "%s: ingress.enabled is true, so ingress.host must say under which name the gateway is reached." $name) -}}
{{- end -}}
{{- if and $values.ingress.enabled $values.networkPolicy.enabled (not $values.networkPolicy.httpFrom) -}}
{{- fail (printf "%s: ingress.enabled is true, but networkPolicy.httpFrom is empty: its controller would reach nobody. Name the controller's namespace there." $name) -}}
{{- end -}}
{{- if and $values.notify.existingSecret (not $values.notify.channels) -}}
{{- fail (printf "%s: notify.existingSecret is set, but notify.channels names no channel that would use it." $name) -}}
{{- end -}}
{{- end }}
