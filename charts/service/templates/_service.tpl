{{- define "tieout.clusterService" -}}
apiVersion: v1
kind: Service
metadata:
  {{- include "tieout.metadata" (list . "") | nindent 2 }}
  {{- with .Values.clusterService.annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  type: ClusterIP
  selector:
    {{- include "tieout.selector" . | nindent 4 }}
  ports:
    {{- if .Values.http.enabled }}
    - name: http
      port: 80
      targetPort: http
      appProtocol: http
    {{- end }}
    - name: health
      port: 8081
      targetPort: health
      appProtocol: http
    {{- if eq .Values.telemetry.metrics "prometheus" }}
    - name: metrics
      port: 9464
      targetPort: metrics
      appProtocol: http
    {{- end }}
{{- end }}

{{- define "tieout.ingress" -}}
{{- if and .Values.http.enabled .Values.ingress.enabled -}}
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  {{- include "tieout.metadata" (list . "") | nindent 2 }}
  {{- with .Values.ingress.annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  {{- with .Values.ingress.className }}
  ingressClassName: {{ . }}
  {{- end }}
  {{- with .Values.ingress.tlsSecret }}
  tls:
    - hosts: [{{ $.Values.ingress.host }}]
      secretName: {{ . }}
  {{- end }}
  rules:
    - host: {{ .Values.ingress.host }}
      http:
        paths:
          - path: /
            pathType: Prefix
            backend:
              service:
                name: {{ include "tieout.fullname" . }}
                port:
                  name: http
{{- end -}}
{{- end }}
