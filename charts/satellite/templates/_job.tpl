{{/* Pod of a run of the `nats` command. Input: list of root, name, script, user. */}}
{{- define "satellite.tools" -}}
{{- $root := index . 0 -}}
restartPolicy: Never
{{ include "satellite.podSecurity" $root }}
containers:
  - name: {{ index . 1 }}
    image: {{ $root.Values.toolsImage.repository }}:{{ $root.Values.toolsImage.tag }}
    command: [sh, -euc, {{ printf "NATS_PASSWORD=$(cat /run/secrets/tieout/password); export NATS_PASSWORD; %s" (index . 2) | quote }}]
    env:
      - {name: NATS_URL, value: "{{ ternary "nats" "tls" (empty $root.Values.tls.existingSecret) }}://{{ include "satellite.name" $root }}:4222"}
      - {name: NATS_USER, value: {{ index . 3 }}}
      - {name: HOME, value: /tmp} # The command keeps its contexts there.
    {{- include "satellite.containerSecurity" $root | nindent 4 }}
    resources:
      requests: {cpu: 10m, memory: 32Mi}
      limits: {memory: 128Mi}
    volumeMounts:
      - {name: secrets, mountPath: /run/secrets/tieout, readOnly: true}
      - {name: configuration, mountPath: /configuration, readOnly: true}
      - {name: tmp, mountPath: /tmp}
volumes:
  - name: secrets
    secret:
      secretName: {{ include "satellite.secret" $root }}
      defaultMode: 0440
      items: [{key: {{ index . 3 }}-password, path: password}]
  - name: configuration
    configMap: {name: {{ include "satellite.name" $root }}}
  - name: tmp
    emptyDir: {sizeLimit: 16Mi}
{{- end -}}
