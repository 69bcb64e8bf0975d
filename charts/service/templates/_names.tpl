{{/* Names and labels. Selectors are name and instance only and never change: a Deployment's selector is immutable. */}}

{{- define "tieout.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 40 | trimSuffix "-" -}}
{{- end }}

{{/* At most 40 characters, so that the names of jobs and their pods stay within theirs. */}}
{{- define "tieout.fullname" -}}
{{- $name := include "tieout.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" (.Release.Name | trunc (int (sub 39 (len $name))) | trimSuffix "-") $name -}}
{{- end -}}
{{- end }}

{{- define "tieout.selector" -}}
app.kubernetes.io/name: {{ include "tieout.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* Pods of jobs bear another name, so that no Service and no Deployment takes them for its own. */}}
{{- define "tieout.jobSelector" -}}
app.kubernetes.io/name: {{ include "tieout.name" . }}-job
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "tieout.commonLabels" -}}
app.kubernetes.io/part-of: tieout
app.kubernetes.io/version: {{ include "tieout.imageTag" . | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 }}
{{- end }}

{{- define "tieout.labels" -}}
{{ include "tieout.selector" . }}
app.kubernetes.io/component: service
{{ include "tieout.commonLabels" . }}
{{- end }}

{{/* Called with (list context component). */}}
{{- define "tieout.jobLabels" -}}
{{ include "tieout.jobSelector" (index . 0) }}
app.kubernetes.io/component: {{ index . 1 }}
{{ include "tieout.commonLabels" (index . 0) }}
{{- end }}

{{/* metadata of a resource; called with (list context suffix). */}}
{{- define "tieout.metadata" -}}
{{- $context := index . 0 -}}
name: {{ include "tieout.fullname" $context }}{{ index . 1 }}
namespace: {{ $context.Release.Namespace }}
labels:
  {{- include "tieout.labels" $context | nindent 2 }}
{{- end }}

{{/* A value of this chart, or the umbrella's under global.tieout; called with (list context "database" "host"). */}}
{{- define "tieout.given" -}}
{{- $context := index . 0 -}}
{{- $own := index $context.Values (index . 1) (index . 2) -}}
{{- $own | default (dig "tieout" (index . 1) (index . 2) "" ($context.Values.global | default dict)) -}}
{{- end }}

{{- define "tieout.imageTag" -}}
{{- include "tieout.given" (list . "image" "tag") | default .Chart.AppVersion -}}
{{- end }}

{{- define "tieout.image" -}}
{{- $registry := dig "tieout" "image" "registry" "" (.Values.global | default dict) | default "ghcr.io/tieout" -}}
{{- $repository := .Values.image.repository | default (printf "%s/%s" $registry .Chart.Name) -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" $repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository (include "tieout.imageTag" .) -}}
{{- end -}}
{{- end }}

{{/* Port of a URL, or what is usual; called with (list url usual). */}}
{{- define "tieout.portOf" -}}
{{- $host := get (urlParse (index . 0)) "host" -}}
{{- regexFind ":[0-9]+$" $host | trimPrefix ":" | default (index . 1) -}}
{{- end }}
