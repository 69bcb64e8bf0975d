{{/*
The hub's accounts in NATS' own dialect. Permissions come from files/permissions.json, which is generated from the
contracts; each password from a file of the users' Secret, included beside its user. Input: the root context.
*/}}
{{- define "platform.nats.accounts" -}}
{{- $derived := .Files.Get "files/permissions.json" | fromJson -}}
{{- $sites := .Values.sites | default list -}}
accounts {
  TIEOUT {
    jetstream: enabled
    users: [
      {
        user: operator
        include {{ include "platform.nats.password" "operator" }}
      }
{{- range $service, $allowed := $derived.services }}
{{- $publish := $allowed.publish }}
{{- $subscribe := $allowed.subscribe }}
{{- with get $derived.perSite $service }}
{{- range $site := $sites }}
{{- $publish = concat $publish (include "platform.nats.forSite" (dict "site" $site "lists" (get $derived.perSite $service).publish) | fromJsonArray) }}
{{- end }}
{{- end }}
      {
        user: {{ $service }}
        include {{ include "platform.nats.password" $service }}
        permissions: {{ include "platform.nats.permissions" (dict "publish" $publish "subscribe" $subscribe) }}
      }
{{- end }}
{{- range $site := $sites }}
      {
        user: {{ $site }}
        include {{ include "platform.nats.password" $site }}
        allowed_connection_types: [LEAFNODE]
        permissions: {{ include "platform.nats.permissions" (dict
          "publish" (include "platform.nats.forSite" (dict "site" $site "lists" $derived.site.publish) | fromJsonArray)
          "subscribe" (include "platform.nats.forSite" (dict "site" $site "lists" $derived.site.subscribe) | fromJsonArray)) }}
      }
{{- end }}
{{- if .Values.standby.accepted }}
{{- $publish := $derived.standby.publish }}
{{- range $site := $sites }}
{{- $publish = concat $publish (include "platform.nats.forSite" (dict "site" $site "lists" $derived.perSite.standby.publish) | fromJsonArray) }}
{{- end }}
      {
        user: standby
        include {{ include "platform.nats.password" "standby" }}
        allowed_connection_types: [LEAFNODE]
        permissions: {{ include "platform.nats.permissions" (dict "publish" $publish "subscribe" $derived.standby.subscribe) }}
      }
{{- end }}
    ]
    imports: [{stream: {account: SYS, subject: "$SYS.ACCOUNT.TIEOUT.CONNECT"}, to: "$SYS.ACCOUNT.TIEOUT.CONNECT"}]
  }
  SYS {
    users: [
      {
        user: system
        include {{ include "platform.nats.password" "system" }}
      }
    ]
    exports: [{stream: "$SYS.ACCOUNT.TIEOUT.CONNECT"}]
  }
}
{{- end -}}

{{/* Path of a user's password fragment, as seen from the folder of accounts.conf. */}}
{{- define "platform.nats.password" -}}
"../nats-users/{{ . }}.conf"
{{- end -}}

{{- define "platform.nats.permissions" -}}
{publish: {allow: {{ toRawJson .publish }}}, subscribe: {allow: {{ toRawJson .subscribe }}}}
{{- end -}}

{{/* Subjects with a site's name where permissions.json leaves it open. */}}
{{- define "platform.nats.forSite" -}}
{{- $stream := .site | upper | replace "-" "_" -}}
{{- $named := list -}}
{{- range .lists -}}
{{- $named = append $named (. | replace "<site>" $.site | replace "<SITE>" $stream) -}}
{{- end -}}
{{- toRawJson $named -}}
{{- end -}}
