from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("django_pm", "0009_escalation"),
    ]

    operations = [
        migrations.AddField(
            model_name="ticket",
            name="project_ids",
            field=models.JSONField(editable=False, null=True, verbose_name="projects"),
        ),
    ]
